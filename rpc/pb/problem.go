package pb

import (
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// ProblemMessage is an error as it travels over gRPC.
func ProblemMessage(e *api.Error) *Problem {
	p := &Problem{Code: string(e.Code), Title: e.Title, Status: uint32(e.Status), Detail: e.Detail, Hint: e.Hint, Group: e.Group, Leader: e.Leader}
	for _, pt := range e.Points {
		p.Points = append(p.Points, &PointError{Index: uint32(pt.Index), Id: pt.ID, Reason: pt.Reason})
	}
	for _, s := range e.Stamped {
		p.Stamped = append(p.Stamped, &Stamp{Index: uint32(s.Index), Time: s.Time.UnixNano()})
	}
	return p
}

// ErrorOf is the inverse of ProblemMessage.
func ErrorOf(p *Problem) *api.Error {
	e := api.E(api.Code(p.GetCode()), p.GetHint(), "%s", p.GetDetail())
	e.Group, e.Leader = p.Group, p.GetLeader()
	if e.Title == "" { // of a newer version
		e.Title, e.Status = p.GetTitle(), int(p.GetStatus())
	}
	for _, pt := range p.GetPoints() {
		e.Points = append(e.Points, api.PointError{Index: int(pt.GetIndex()), ID: pt.GetId(), Reason: pt.GetReason()})
	}
	for _, s := range p.GetStamped() {
		e.Stamped = append(e.Stamped, api.Stamp{Index: int(s.GetIndex()), Time: api.At(time.Unix(0, s.GetTime()))})
	}
	return e
}
