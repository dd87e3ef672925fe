package gateway

import (
	"slices"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// JobFilter says which jobs are asked for; the zero value is all. Each node
// applies it to its own, so that whoever follows a few jobs does not make every
// node send all that it keeps.
type JobFilter struct {
	Kind     string   `json:"kind,omitempty"`
	Target   string   `json:"target,omitempty"`
	Group    *uint32  `json:"group,omitempty"`
	Statuses []string `json:"statuses,omitempty"` // one of them; none: any
}

// Keeps reports whether a job is asked for.
func (f *JobFilter) Keeps(j *api.Job) bool {
	return (f.Kind == "" || j.Kind == f.Kind) &&
		(f.Target == "" || j.Target != nil && *j.Target == f.Target) &&
		(f.Group == nil || j.GroupID != nil && *j.GroupID == *f.Group) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, j.Status))
}

// of gives the jobs that are asked for, in their order.
func (f *JobFilter) of(jobs []api.Job) []api.Job {
	return slices.DeleteFunc(jobs, func(j api.Job) bool { return !f.Keeps(&j) })
}
