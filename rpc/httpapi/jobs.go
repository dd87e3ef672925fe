package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// accept answers 202 and the job.
func accept(w http.ResponseWriter, job api.Job, err error) error {
	if err == nil {
		w.Header().Set("Location", "/v1/admin/jobs/"+job.ID)
	}
	return answer(w, http.StatusAccepted, job, err)
}

// dryRun reads dry_run of a request that may have it, beside other parameters.
// What is neither true nor false is refused: it must not do what it may only
// plan.
func dryRun(r *http.Request, known ...string) (bool, error) {
	values, err := params(r, append([]string{"dry_run"}, known...)...)
	if err != nil || !values.Has("dry_run") {
		return false, err
	}
	switch s := values.Get("dry_run"); s {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	default:
		return false, api.E(api.InvalidArgument, "true or false", "dry_run %q is not known", s)
	}
}

func (h *Handler) verify(w http.ResponseWriter, r *http.Request) error {
	dry, err := dryRun(r)
	if err != nil {
		return err
	}
	var b api.VerifyRequest
	if err := object(w, r, &b, "mode", "groups", "deep", "repair"); err != nil {
		return err
	}
	if dry {
		plan, err := h.g.PlanVerify(r.Context(), b)
		return answer(w, http.StatusOK, plan, err)
	}
	job, err := h.g.Verify(r.Context(), b)
	return accept(w, job, err)
}

func (h *Handler) verifyGroup(w http.ResponseWriter, r *http.Request) error {
	dry, err := dryRun(r)
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	var b api.VerifyRequest
	if err := object(w, r, &b, "mode", "deep", "repair"); err != nil {
		return err
	}
	b.Groups = []uint32{id}
	if dry {
		plan, err := h.g.PlanVerify(r.Context(), b)
		return answer(w, http.StatusOK, plan, err)
	}
	job, err := h.g.Verify(r.Context(), b)
	return accept(w, job, err)
}

func (h *Handler) trim(w http.ResponseWriter, r *http.Request) error {
	dry, err := dryRun(r)
	if err != nil {
		return err
	}
	var b struct {
		Groups []uint32 `json:"groups"`
	}
	if err := object(w, r, &b, "groups"); err != nil {
		return err
	}
	if dry {
		plan, err := h.g.PlanTrim(r.Context(), b.Groups)
		return answer(w, http.StatusOK, plan, err)
	}
	job, err := h.g.Trim(r.Context(), b.Groups)
	return accept(w, job, err)
}

func (h *Handler) trimGroup(w http.ResponseWriter, r *http.Request) error {
	dry, err := dryRun(r)
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	if err := object(w, r, &struct{}{}); err != nil {
		return err
	}
	if dry {
		plan, err := h.g.PlanTrim(r.Context(), []uint32{id})
		return answer(w, http.StatusOK, plan, err)
	}
	job, err := h.g.Trim(r.Context(), []uint32{id})
	return accept(w, job, err)
}

func (h *Handler) stepDown(w http.ResponseWriter, r *http.Request) error {
	dry, err := dryRun(r, "to")
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	b := struct {
		To string `json:"to"`
	}{r.URL.Query().Get("to")}
	if err := object(w, r, &b, "to"); err != nil {
		return err
	}
	if dry {
		plan, err := h.g.PlanStepDown(r.Context(), id, b.To)
		return answer(w, http.StatusOK, plan, err)
	}
	job, err := h.g.StepDown(r.Context(), id, b.To)
	return accept(w, job, err)
}

// drillGroup damages one replica on purpose. Nothing else starts a drill.
func (h *Handler) drillGroup(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "kind", "node")
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	b := struct {
		Kind string `json:"kind"`
		Node string `json:"node"`
	}{values.Get("kind"), values.Get("node")}
	if err := object(w, r, &b, "kind", "node"); err != nil {
		return err
	}
	job, err := h.g.Drill(r.Context(), gateway.DrillRequest{Group: id, Node: b.Node, Kind: b.Kind})
	return accept(w, job, err)
}

func (h *Handler) listJobs(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "kind", "status", "group", "target", "limit", "page_token")
	if err != nil {
		return err
	}
	only, err := jobFilter(values)
	if err != nil {
		return err
	}
	list, silent, err := h.g.ListJobs(r.Context(), only)
	if err != nil {
		return err
	}
	if len(silent) > 0 {
		w.Header().Set(api.SilentNodesHeader, strings.Join(silent, ","))
	}
	limit, token, err := page(values)
	if err != nil {
		return err
	}
	list, next, err := gateway.PageOfJobs(list, limit, token)
	return answer(w, http.StatusOK, api.JobList{Jobs: list, NextPageToken: next}, err)
}

// jobFilter reads which jobs are asked for.
func jobFilter(values url.Values) (gateway.JobFilter, error) {
	f := gateway.JobFilter{Kind: values.Get("kind"), Target: values.Get("target")}
	if f.Kind != "" && !slices.Contains(api.JobKinds, f.Kind) {
		return f, api.E(api.InvalidArgument, strings.Join(api.JobKinds, ", "), "kind %q is not known", f.Kind)
	}
	if s := values.Get("status"); s != "" {
		f.Statuses = strings.Split(s, ",")
	}
	for _, s := range f.Statuses {
		if !slices.Contains(api.JobStatuses, s) {
			return f, api.E(api.InvalidArgument, strings.Join(api.JobStatuses, ", "), "status %q is not known", s)
		}
	}
	if s := values.Get("group"); s != "" {
		id, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return f, api.E(api.InvalidArgument, "a number such as 42", "group %q is no group id", s)
		}
		group := uint32(id)
		f.Group = &group
	}
	return f, nil
}

func (h *Handler) getJob(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	job, err := h.g.GetJob(r.Context(), r.PathValue("id"))
	return answer(w, http.StatusOK, job, err)
}

func (h *Handler) cancelJob(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	job, err := h.g.CancelJob(r.Context(), r.PathValue("id"))
	return answer(w, http.StatusAccepted, job, err)
}
