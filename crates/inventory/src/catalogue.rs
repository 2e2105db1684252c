//! What the shop sells.

/// A product as a customer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) price: Price,
    /// Pieces neither reserved nor sold.
    pub(crate) available: i64,
}

/// An amount of money in the smallest unit of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Price {
    pub(crate) currency: String,
    pub(crate) amount_minor: i64,
}

/// A product of a new store.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// In euro cents.
    pub(crate) cents: i64,
}

const fn seed(
    sku: &'static str,
    name: &'static str,
    description: &'static str,
    cents: i64,
) -> Seed {
    Seed {
        sku,
        name,
        description,
        cents,
    }
}

/// The catalogue of a new store, by sku.
///
/// Databases do not agree on where a hyphen sorts, so no two skus may differ in order without theirs.
pub(crate) const SEEDS: [Seed; 24] = [
    seed(
        "apron",
        "Apron",
        "Heavy linen with a long tie and two pockets.",
        2_900,
    ),
    seed(
        "baking-tray",
        "Baking Tray",
        "Blue steel, seasoned, 40 by 30 centimetres.",
        1_850,
    ),
    seed(
        "bread-knife",
        "Bread Knife",
        "A serrated blade that outlives the bread box.",
        3_450,
    ),
    seed(
        "butter-dish",
        "Butter Dish",
        "Keeps butter soft on the table. Glazed stoneware.",
        1_690,
    ),
    seed(
        "cake-stand",
        "Cake Stand",
        "Turned beech with a glass dome.",
        4_200,
    ),
    seed(
        "carafe",
        "Carafe",
        "One litre of mouth-blown glass with a cork lid.",
        2_250,
    ),
    seed(
        "chopping-board",
        "Chopping Board",
        "End-grain oak that forgives the sharpest knife.",
        3_900,
    ),
    seed(
        "coffee-grinder",
        "Coffee Grinder",
        "Conical steel burrs, turned by hand, forty settings.",
        8_900,
    ),
    seed(
        "cutlery-set",
        "Cutlery Set",
        "Twenty-four pieces of brushed steel for six.",
        7_900,
    ),
    seed(
        "dutch-oven",
        "Dutch Oven",
        "Enamelled cast iron for stews, bread and generations.",
        12_900,
    ),
    seed(
        "espresso-cup",
        "Espresso Cup",
        "Thick porcelain, 60 millilitres, with a saucer.",
        1_250,
    ),
    seed(
        "french-press",
        "French Press",
        "Eight cups, double-walled, and a filter that filters.",
        3_790,
    ),
    seed(
        "grater",
        "Grater",
        "Etched steel for nutmeg, ginger and parmesan.",
        1_590,
    ),
    seed(
        "kettle",
        "Kettle",
        "A goose-neck spout for a slow, steady pour.",
        6_400,
    ),
    seed(
        "ladle",
        "Ladle",
        "One piece of steel that holds exactly one bowl.",
        1_190,
    ),
    seed(
        "milk-frother",
        "Milk Frother",
        "Cold or hot foam in twenty seconds.",
        2_990,
    ),
    seed(
        "mixing-bowl",
        "Mixing Bowl",
        "Three litres of stoneware with a spout.",
        2_450,
    ),
    seed(
        "mortar",
        "Mortar and Pestle",
        "Two kilograms of granite.",
        3_250,
    ),
    seed(
        "oven-glove",
        "Oven Glove",
        "Quilted cotton up to the elbow. A pair.",
        1_490,
    ),
    seed(
        "pepper-mill",
        "Pepper Mill",
        "Walnut with a ceramic grinder.",
        3_600,
    ),
    seed(
        "rolling-pin",
        "Rolling Pin",
        "French style, tapered, from one piece of maple.",
        1_790,
    ),
    seed(
        "saucepan",
        "Saucepan",
        "Copper and steel, 1.5 litres, pours without a drop lost.",
        9_800,
    ),
    seed(
        "spice-rack",
        "Spice Rack",
        "Ash wood with room for twelve jars.",
        2_690,
    ),
    seed(
        "teapot",
        "Teapot",
        "Cast iron with a basket for leaves, 0.8 litres.",
        5_450,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_24_products_in_an_order_no_database_disputes() {
        let skus: Vec<_> = SEEDS.iter().map(|seed| seed.sku).collect();
        assert!(skus.is_sorted_by(|a, b| a < b), "{skus:?}");
        assert!(
            skus.is_sorted_by_key(|sku| sku.replace('-', "")),
            "{skus:?}"
        );
        for sku in skus {
            assert!(
                sku.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()),
                "{sku}"
            );
        }
    }

    #[test]
    fn every_product_says_what_it_is_and_costs_something() {
        for Seed {
            sku,
            name,
            description,
            cents,
        } in SEEDS
        {
            assert!(
                !name.is_empty() && description.ends_with('.') && cents > 0,
                "{sku}"
            );
        }
    }
}
