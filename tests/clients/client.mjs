// A client in JavaScript that knows the service by its OpenAPI document alone: it counts an expression and reads a stream.
// node client.mjs URL INDEX EXPRESSION

const [url, index, expr] = process.argv.slice(2);
const paths = (await (await fetch(`${url}/openapi.json`)).json()).paths;

/** Return the address of the operation whose path ends in *name*. */
function addressOf(name) {
  const [path] = Object.entries(paths).find(([path, methods]) => path.endsWith(`/{index}/${name}`) && methods.post);
  return url + path.replace("{index}", encodeURIComponent(index));
}

/** Call an operation, and return the response. */
async function call(name, body, accept) {
  const headers = { "Content-Type": "application/json", Accept: accept };
  const response = await fetch(addressOf(name), { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status} ${(await response.json()).code}`);
  return response;
}

const { count, snapshot } = await (await call("count", { expr }, "application/json")).json();
const stream = await call("resolve", { expr, columns: ["device_id"] }, "application/x-ndjson");
let text = "";
for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) text += chunk;
const devices = text.trimEnd().split("\n").map((line) => JSON.parse(line).device_id);
const refused = await call("count", { expr: "(" }, "application/json").catch((error) => error.message);
console.log(JSON.stringify({ count, snapshot, devices, refused }));
