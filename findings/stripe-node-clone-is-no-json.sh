#!/bin/sh
# stripe (npm) 23.1.0: a clone of an object can no longer be written as JSON, and its decimals no longer be read.
#
# A decimal text of Stripe's, such as a price's "unit_amount_decimal", is an object of the SDK's own class, which
# holds a BigInt. JSON.stringify of the price writes the text. A structured clone, as postMessage to a worker makes it,
# loses the class: JSON.stringify of it fails, and String of the field is no number.
#
# Output seen, on Node.js 20:
#   the price: {"id":"price_1","object":"price","unit_amount_decimal":"10.5"}
#   its clone: Do not know how to serialize a BigInt
#   the field: 10.5, of the clone: [object Object]
#
# Needs node, npm and its registry. Fails if the SDK answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" stripe@23.1.0 > "$folder/log" 2>&1
cat > "$folder/clone.mjs" <<'NODE'
import assert from 'node:assert';
import http from 'node:http';
import Stripe from 'stripe';

const sent = { id: 'price_1', object: 'price', unit_amount_decimal: '10.5' };
const server = http.createServer((_, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(sent));
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const { port } = server.address();
const stripe = new Stripe('sk_test_123', { host: '127.0.0.1', port, protocol: 'http', telemetry: false });
const price = await stripe.prices.retrieve('price_1');
const clone = structuredClone({ ...price });
const written = (value) => {
  try {
    return JSON.stringify(value);
  } catch (error) {
    return error.message;
  }
};
console.log('the price:', written(price));
console.log('its clone:', written(clone));
console.log(`the field: ${price.unit_amount_decimal}, of the clone: ${clone.unit_amount_decimal}`);
assert.equal(written(price), JSON.stringify(sent));
assert.equal(written(clone), 'Do not know how to serialize a BigInt');
assert.equal(`${price.unit_amount_decimal}`, '10.5');
assert.equal(`${clone.unit_amount_decimal}`, '[object Object]');
server.close();
NODE
node "$folder/clone.mjs"
