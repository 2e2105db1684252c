// The shop's customers: one places an order for every four who look at the products. Requests are sent when they are due,
// whether or not those before them have been answered.
import http from 'k6/http';
import { Counter } from 'k6/metrics';

const url = __ENV.URL;
const rate = Number(__ENV.RATE);
const soldOut = new Counter('orders_sold_out');

// Of `RATE` a second, in fifths.
function arrivals(customer, fifths) {
    return {
        executor: 'constant-arrival-rate',
        exec: customer,
        rate: rate * fifths,
        timeUnit: '5s',
        duration: __ENV.FOR,
        // Each holds one request; the slowest answers take five seconds.
        preAllocatedVUs: Math.max(10, Math.ceil(rate * fifths / 5)),
        maxVUs: Math.max(10, rate * fifths),
        gracefulStop: '10s',
    };
}

export const options = {
    scenarios: { place: arrivals('place', 1), read: arrivals('read', 4) },
    // The objectives of deploy/components/observability; and k6 has kept its rate.
    thresholds: {
        http_req_failed: ['rate<0.001'],
        'http_req_duration{name:read}': ['p(99)<300'],
        'http_req_duration{name:place}': ['p(99)<5000'],
        dropped_iterations: ['count<1'],
    },
    summaryTrendStats: ['min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'],
};

// Sold out is an answer, and the stock is finite: 24,000 pieces.
const expected = http.expectedStatuses(200, 201, 202, 409);

export function setup() {
    const answer = http.get(`${url}/v1/products`, { tags: { name: 'setup' } });
    if (answer.status !== 200) {
        throw new Error(`${url}/v1/products answers ${answer.status}`);
    }
    return answer.json('products').map((product) => product.sku);
}

export function read() {
    http.get(`${url}/v1/products`, { responseCallback: expected, tags: { name: 'read' } });
}

export function place(skus) {
    const sku = skus[Math.floor(Math.random() * skus.length)];
    const answer = http.post(
        `${url}/v1/orders`,
        JSON.stringify({ items: [{ sku, quantity: 1 }], payment_token: 'tok_ok' }),
        {
            headers: { 'content-type': 'application/json', 'idempotency-key': key() },
            responseCallback: expected,
            tags: { name: 'place' },
        },
    );
    if (answer.status === 409) {
        soldOut.add(1);
    }
}

// Its own for each order, in every run.
function key() {
    return `load-${Date.now()}-${__VU}-${__ITER}-${Math.random()}`;
}
