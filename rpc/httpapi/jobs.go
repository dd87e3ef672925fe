package httpapi

import (
	"net/http"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

type verifyBody struct {
	Mode   string   `json:"mode"`
	Groups []uint32 `json:"groups"`
}

// accept answers 202 and the job.
func accept(w http.ResponseWriter, job api.Job, err error) error {
	if err == nil {
		w.Header().Set("Location", "/v1/admin/jobs/"+job.ID)
	}
	return answer(w, http.StatusAccepted, job, err)
}

func (h *Handler) verify(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	var b verifyBody
	if err := object(w, r, &b, "mode", "groups"); err != nil {
		return err
	}
	job, err := h.g.Verify(r.Context(), b.Groups, b.Mode)
	return accept(w, job, err)
}

func (h *Handler) verifyGroup(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	var b struct {
		Mode string `json:"mode"`
	}
	if err := object(w, r, &b, "mode"); err != nil {
		return err
	}
	job, err := h.g.Verify(r.Context(), []uint32{id}, b.Mode)
	return accept(w, job, err)
}

func (h *Handler) trim(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	var b struct {
		Groups []uint32 `json:"groups"`
	}
	if err := object(w, r, &b, "groups"); err != nil {
		return err
	}
	job, err := h.g.Trim(r.Context(), b.Groups)
	return accept(w, job, err)
}

func (h *Handler) trimGroup(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	if err := object(w, r, &struct{}{}); err != nil {
		return err
	}
	job, err := h.g.Trim(r.Context(), []uint32{id})
	return accept(w, job, err)
}

func (h *Handler) stepDown(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "to")
	if err != nil {
		return err
	}
	id, err := groupID(r)
	if err != nil {
		return err
	}
	b := struct {
		To string `json:"to"`
	}{values.Get("to")}
	if err := object(w, r, &b, "to"); err != nil {
		return err
	}
	job, err := h.g.StepDown(r.Context(), id, b.To)
	return accept(w, job, err)
}

func (h *Handler) listJobs(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "limit", "page_token")
	if err != nil {
		return err
	}
	list, err := h.g.ListJobs(r.Context())
	if err != nil {
		return err
	}
	limit, token, err := page(values)
	if err != nil {
		return err
	}
	list, next, err := gateway.Page(list, limit, token, func(j api.Job) string { return j.ID })
	return answer(w, http.StatusOK, api.JobList{Jobs: list, NextPageToken: next}, err)
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
