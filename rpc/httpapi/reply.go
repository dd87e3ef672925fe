package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// retryAfter is what a client is told to wait, in seconds, when it may repeat
// its request as it is.
const retryAfter = "1"

// reply answers an object.
func reply(w http.ResponseWriter, status int, v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that is gone needs no answer
	return nil
}

// encode gives one line of JSON in which < and > stay what they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// answer is reply for what the gateway returned.
func answer[T any](w http.ResponseWriter, status int, v T, err error) error {
	if err != nil {
		return err
	}
	return reply(w, status, v)
}

// fail answers a problem document.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := api.AsError(err)
	if e.Code == api.Internal {
		h.logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	writeProblem(w, e, e.Problem)
}

// writeProblem answers a body that holds the problem of e.
func writeProblem(w http.ResponseWriter, e *api.Error, body any) {
	if e.Code.Retryable() {
		w.Header().Set("Retry-After", retryAfter)
	}
	b, err := encode(body)
	if err != nil {
		b = []byte(`{"status":500,"code":"internal"}` + "\n")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(b)
}
