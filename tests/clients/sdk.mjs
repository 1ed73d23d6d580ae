// Asks for one message through the Anthropic TypeScript SDK: `sdk.mjs plain|stream`. No retries: what the proxy lets through, the SDK sees.
import assert from "node:assert";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ maxRetries: 0, timeout: 30_000 });
const ask = { model: "claude-sonnet-4-5", max_tokens: 64, messages: [{ role: "user", content: "say hi" }] };

let text = "";
let final;
if (process.argv[2] === "stream") {
  const stream = client.messages.stream(ask).on("text", (part) => (text += part));
  final = await stream.finalMessage();
} else {
  final = await client.messages.create(ask);
  text = final.content.map((block) => block.text).join("");
}
assert.equal(final.stop_reason, "end_turn");
assert.match(text, /hello from the scripted upstream/);
