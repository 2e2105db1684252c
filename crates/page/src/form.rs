//! What a form of ours sent. To have one is to have been sent the token.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Form,
    extract::{FromRequest, Request},
    response::IntoResponse,
};
use http::StatusCode;
use maud::{Markup, html};

use crate::{app::App, mesh::Mesh, refusal::Refusal};

const TOKEN: &str = "token";

/// Fields of a form that is our own.
pub(crate) struct Fields(HashMap<String, String>);

impl Fields {
    /// The field's value; it is there once.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.0.get(name).map(String::as_str);
        value.ok_or_else(|| Refusal::bad_request(format!("the form lacks the field {name}")))
    }
}

impl<M: Mesh> FromRequest<Arc<App<M>>> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App<M>>) -> Result<Self, Refusal> {
        let Form(pairs) = Form::<Vec<(String, String)>>::from_request(request, app)
            .await
            .map_err(|error| {
                let status = error.into_response().status();
                Refusal::new(status, "this is not one of the page's forms")
            })?;
        let count = pairs.len();
        let fields: HashMap<String, String> = pairs.into_iter().collect();
        if !fields
            .get(TOKEN)
            .is_some_and(|sent| app.guard.token.is(sent))
        {
            let detail =
                "this form is from an earlier start, or from elsewhere: load the page again";
            return Err(Refusal::new(StatusCode::FORBIDDEN, detail));
        }
        if fields.len() < count {
            return Err(Refusal::bad_request("the form has a field twice"));
        }
        Ok(Self(fields))
    }
}

/// The hidden field that every form needs.
pub(crate) fn token<M>(app: &App<M>) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(app.guard.token.expose()); }
}
