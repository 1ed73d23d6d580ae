"""Asks for one message through the Anthropic Python SDK: `sdk.py plain|stream`. No retries: what the proxy lets through, the SDK sees."""

import sys

import anthropic

client = anthropic.Anthropic(max_retries=0, timeout=30)
ask = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "say hi"}]}

if sys.argv[1] == "stream":
    with client.messages.stream(**ask) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
else:
    final = client.messages.create(**ask)
    text = "".join(block.text for block in final.content)

assert final.stop_reason == "end_turn", final
assert "hello from the scripted upstream" in text, text
