//! A channel whose script takes orders. It has run several times, once in vain.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::caller::{Caller, member};

/// The script. It fails on an order without lines.
const SCRIPT: &str = r"// Takes the orders of a web shop and counts them.
const { number, customer, lines } = request.body;
if (!lines) throw new Error(`order ${number} has no lines`);
const total = lines.reduce((sum, line) => sum + line.price * line.count, 0);
const orders = (kv.get('orders') ?? 0) + 1;
kv.set('orders', orders);
console.log(`order ${number} of ${customer}: ${total}, the ${orders}. so far`);
respond(200, {}, { accepted: number, total });
";

/// Makes the channel and sends it orders. `root` holds a token of the workspace.
pub(super) async fn seed(root: &Caller) -> Result<()> {
    let script = json!({
        "code": "orders", "name": "Orders of the web shop",
        "scriptdata": { "language": "javascript", "source": SCRIPT },
    });
    root.post("/rest/v1/service/svcscripts", script).await?;
    let channel = json!({
        "code": "web-shop", "type": "public", "recv_svcscriptcode": "orders",
        "opts": { "issync": true },
    });
    let channel = root
        .post("/rest/v1/service/integration_points", channel)
        .await?;
    let shop = root.with_token(&member(&channel, "token_local")?);
    for (number, lines, status) in [
        ("A-1", json!([{ "price": 1200, "count": 2 }]), 200),
        ("A-2", Value::Null, 500),
        ("A-3", json!([{ "price": 350, "count": 10 }]), 200),
    ] {
        let order = json!({ "number": number, "customer": "Saule Omarova", "lines": lines });
        let answered = shop.try_post("/exec", &order).await?;
        ensure!(
            answered == status,
            "order {number} was answered {answered}, not {status}"
        );
    }
    Ok(())
}
