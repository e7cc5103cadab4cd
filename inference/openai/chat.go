package openai

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/skein-mesh/skein"
	"github.com/skein-mesh/skein/inference"
)

// goOn asks a server without prefill to go on. It is the last user message behind the text that exists.
const goOn = "Your last message was cut off in the middle. Go on exactly behind its last character. " +
	"Repeat none of it, explain nothing, write only what follows, in the same language."

// chatRequest is the body of POST /chat/completions.
type chatRequest struct {
	Model         string        `json:"model"`
	Messages      []chatMessage `json:"messages"`
	Stream        bool          `json:"stream"`
	StreamOptions streamOptions `json:"stream_options"`
	MaxTokens     int           `json:"max_tokens,omitempty"`
	Temperature   float64       `json:"temperature"`
	Seed          int64         `json:"seed,omitempty"`

	// What vLLM and SGLang want to go on behind the last message; absent otherwise, since strict servers
	// refuse fields that they do not know.
	ContinueFinalMessage bool  `json:"continue_final_message,omitempty"`
	AddGenerationPrompt  *bool `json:"add_generation_prompt,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type chatMessage struct {
	Role    inference.Role `json:"role"`
	Content string         `json:"content"`
}

// completion is a chunk of a stream, or a whole completion.
type completion struct {
	Choices []struct {
		Index        int    `json:"index"`
		Delta        delta  `json:"delta"`
		Message      delta  `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type delta struct {
	Content string `json:"content"`
}

func (c *completion) failed() bool {
	return len(c.Error) > 0 && !bytes.Equal(c.Error, []byte("null"))
}

// chatBody makes the body for req; how to go on behind committed text is the prefill flag.
func chatBody(model string, req inference.Request, prefill bool) chatRequest {
	body := chatRequest{
		Model: model, Stream: true, StreamOptions: streamOptions{IncludeUsage: true},
		MaxTokens: req.MaxTokens, Temperature: req.Temperature, Seed: req.Seed,
	}
	for _, m := range req.Messages {
		body.Messages = append(body.Messages, chatMessage(m))
	}
	if req.Committed == "" {
		return body
	}
	body.Messages = append(body.Messages, chatMessage{inference.RoleAssistant, req.Committed})
	if prefill {
		body.ContinueFinalMessage, body.AddGenerationPrompt = true, new(bool)
	} else {
		body.Messages = append(body.Messages, chatMessage{inference.RoleUser, goOn})
	}
	return body
}

// inStream turns an error that a server sends in the middle of a stream into ours. Servers name the HTTP status
// they would have answered with as the code, or none.
func (e *Engine) inStream(data []byte) error {
	message, code := explain(data)
	var status int
	if json.Unmarshal([]byte(code), &status) != nil || status < 300 || status > 599 {
		if code == "context_length_exceeded" {
			return &refused{http.StatusBadRequest, e.fault(http.StatusBadRequest, code, message)}
		}
		return skein.Fault(skein.CodeInternal, "the model server ends the stream: %s", e.hideKey(message))
	}
	return &refused{status, e.fault(status, code, message)}
}
