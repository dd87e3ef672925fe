package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// health is the body of the probes that succeed.
type health struct {
	Status  string `json:"status"`
	Syncing int    `json:"syncing"`
}

// healthz says that the process answers; nothing more.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, health{Status: "ok"})
}

// readyz says whether the node takes part, and what is missing if not.
func (h *Handler) readyz(w http.ResponseWriter, _ *http.Request) error {
	ready, missing, syncing := h.node.Ready()
	if ready {
		return reply(w, http.StatusOK, health{Status: "ready", Syncing: syncing})
	}
	e := api.E(api.NotReady, "wait; the node is starting or has lost its cluster", "missing: %s", strings.Join(missing, "; "))
	body := struct {
		api.Problem
		Missing []string `json:"missing"`
	}{e.Problem, append([]string{}, missing...)}
	writeProblem(w, e, body)
	return nil
}

// scrape answers what Prometheus collects.
func (h *Handler) scrape(w http.ResponseWriter, r *http.Request) error {
	if h.metrics == nil {
		return api.E(api.NotFound, unknownRouteHint, "no route %s", r.URL.Path)
	}
	h.metrics.ServeHTTP(w, r)
	return nil
}

func (h *Handler) getVersion(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	return reply(w, http.StatusOK, h.version)
}

func (h *Handler) config(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	return reply(w, http.StatusOK, h.node.Config())
}

func (h *Handler) settings(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	list, err := h.node.Settings(r.Context())
	if list == nil {
		list = []api.Setting{}
	}
	return answer(w, http.StatusOK, api.SettingList{Settings: list}, err)
}

func (h *Handler) setSetting(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	var b struct {
		Value json.RawMessage `json:"value"`
	}
	if err := object(w, r, &b, "value"); err != nil {
		return err
	}
	text, err := scalar("value", b.Value)
	if err != nil {
		return api.E(api.InvalidArgument, `the body is {"value":"..."}`, "no value for setting %q", r.PathValue("key"))
	}
	s, err := h.node.SetSetting(r.Context(), r.PathValue("key"), text[0])
	return answer(w, http.StatusOK, s, err)
}
