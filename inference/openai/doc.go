// Package openai is an inference.Engine over any server that speaks OpenAI's chat completions: vLLM, SGLang,
// llama.cpp, Ollama, a hosted one. It streams, holds one HTTP request for each stream, retries nothing and
// stores nothing. A stream ends with an error when the server is silent for Config.Timeout; how long a reply
// takes altogether is not limited, how many bytes it has is.
//
// Going on behind committed text. The text is sent as a last assistant message together with
// continue_final_message, which vLLM and SGLang want; llama.cpp goes on behind such a message anyhow. A server
// that refuses this is asked in a user message instead. So is a server that starts the reply over with other
// words; where it starts over with the same words, what is committed is skipped. Only what passes all of this is
// called a prefill. One case cannot be told apart by looking: a server that ignores the fields and answers at once
// in words of which none repeats the committed ones.
package openai
