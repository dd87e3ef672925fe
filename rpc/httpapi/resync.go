package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// resyncBody is what a resync and a move are told, as keys of the body or as
// parameters; a key wins over a parameter. Amounts are numbers (bytes a second,
// a share of 1) or texts with a unit (64MiB, 50%).
type resyncBody struct {
	Target      string          `json:"target"` // of a resync
	To          string          `json:"to"`     // of a move
	From        string          `json:"from"`
	Mode        string          `json:"mode"`
	MaxPause    string          `json:"max_pause"`
	Rate        json.RawMessage `json:"rate"`
	LeaderShare json.RawMessage `json:"leader_share"`
	Groups      []uint32        `json:"groups"` // of a resync of several
}

// optionNames are the keys that a resync and a move have in common.
var optionNames = []string{"from", "mode", "max_pause", "rate", "leader_share"}

// readResync reads parameters and body of a route that knows names.
func readResync(w http.ResponseWriter, r *http.Request, names ...string) (b resyncBody, o gateway.ResyncOptions, dry bool, err error) {
	names = append(names, optionNames...)
	if dry, err = dryRun(r, without(names, "groups")...); err != nil {
		return b, o, dry, err
	}
	q := r.URL.Query()
	b = resyncBody{Target: q.Get("target"), To: q.Get("to"), From: q.Get("from"), Mode: q.Get("mode"), MaxPause: q.Get("max_pause"),
		Rate: quotedParameter(q, "rate"), LeaderShare: quotedParameter(q, "leader_share")}
	if err := known(w, r, &b, names); err != nil {
		return b, o, dry, err
	}
	o, err = b.options()
	return b, o, dry, err
}

func without(names []string, name string) []string {
	var out []string
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

// quotedParameter gives a parameter as the JSON that a body would have.
func quotedParameter(q url.Values, name string) json.RawMessage {
	if !q.Has(name) {
		return nil
	}
	return appendQuoted(nil, q.Get(name))
}

// known reads the body, and refuses keys that this route does not have though
// another does.
func known(w http.ResponseWriter, r *http.Request, b *resyncBody, names []string) error {
	keys := map[string]json.RawMessage{}
	if err := object(w, r, &keys, names...); err != nil {
		return err
	}
	allowed := map[string]bool{}
	for _, n := range names {
		allowed[n] = true
	}
	for key := range keys {
		if !allowed[key] {
			return unknownName("key", key, names)
		}
	}
	for key, into := range map[string]any{"target": &b.Target, "to": &b.To, "from": &b.From, "mode": &b.Mode, "max_pause": &b.MaxPause, "groups": &b.Groups} {
		if raw, ok := keys[key]; ok && json.Unmarshal(raw, into) != nil {
			hint := "a text"
			if key == "groups" {
				hint = "a list of numbers"
			}
			return api.E(api.InvalidArgument, hint, "key %q cannot be %s", key, raw)
		}
	}
	if raw, ok := keys["rate"]; ok {
		b.Rate = raw
	}
	if raw, ok := keys["leader_share"]; ok {
		b.LeaderShare = raw
	}
	return nil
}

// options reads the amounts. Their bounds are the gateway's.
func (b *resyncBody) options() (gateway.ResyncOptions, error) {
	o := gateway.ResyncOptions{From: b.From, Mode: b.Mode}
	if b.MaxPause != "" {
		d, err := time.ParseDuration(b.MaxPause)
		if err != nil || d <= 0 {
			return o, api.E(api.InvalidArgument, "a length of time such as 100ms", "max_pause %q is not above zero", b.MaxPause)
		}
		o.MaxPause = d
	}
	if given(b.Rate) {
		text, err := scalar("rate", b.Rate)
		if err != nil {
			return o, err
		}
		if o.Rate, err = api.ParseSize(text[0]); err != nil {
			return o, api.E(api.InvalidArgument, "bytes a second, such as 64MiB", "rate: %v", err)
		}
	}
	if given(b.LeaderShare) {
		text, err := scalar("leader_share", b.LeaderShare)
		if err != nil {
			return o, err
		}
		share, err := api.ParseShare(text[0])
		if err != nil {
			return o, api.E(api.InvalidArgument, "a share such as 50% or 0.5", "leader_share: %v", err)
		}
		o.LeaderShare = &share
	}
	return o, nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// resync starts a job for each of several groups, all those of the target
// without a list.
func (h *Handler) resync(w http.ResponseWriter, r *http.Request) error {
	b, o, dry, err := readResync(w, r, "target", "groups")
	if err != nil {
		return err
	}
	request := gateway.ResyncRequest{Groups: b.Groups, Target: b.Target, ResyncOptions: o}
	if dry {
		plan, err := h.g.PlanResync(r.Context(), request)
		return answer(w, http.StatusOK, plan, err)
	}
	jobs, err := h.g.Resync(r.Context(), request)
	if jobs == nil {
		jobs = []api.Job{}
	}
	return answer(w, http.StatusAccepted, api.JobList{Jobs: jobs}, err)
}

// resyncGroup starts the job of one group.
func (h *Handler) resyncGroup(w http.ResponseWriter, r *http.Request) error {
	b, o, dry, err := readResync(w, r, "target")
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	request := gateway.ResyncRequest{Groups: []uint32{id}, Target: b.Target, ResyncOptions: o}
	if dry {
		plan, err := h.g.PlanResync(r.Context(), request)
		return answer(w, http.StatusOK, plan, err)
	}
	jobs, err := h.g.Resync(r.Context(), request)
	if err != nil {
		return err
	}
	if len(jobs) != 1 {
		return api.E(api.Internal, "see the log of "+b.Target, "%d jobs were started for one group", len(jobs)).InGroup(id)
	}
	return accept(w, jobs[0], nil)
}

// moveGroup starts the job that gives a replica's place to another node. From
// is that replica here, not a source: sources are found.
func (h *Handler) moveGroup(w http.ResponseWriter, r *http.Request) error {
	b, o, dry, err := readResync(w, r, "to")
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	o.From = ""
	request := gateway.MoveRequest{Group: id, A: b.From, B: b.To, ResyncOptions: o}
	if dry {
		plan, err := h.g.PlanMove(r.Context(), request)
		return answer(w, http.StatusOK, plan, err)
	}
	job, err := h.g.Move(r.Context(), request)
	return accept(w, job, err)
}
