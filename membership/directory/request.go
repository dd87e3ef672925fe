package directory

import (
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
)

// op says what a request wants.
type op byte

const (
	opApply  op = 1 // body: command. Leader only
	opRound  op = 2 // body: list of groups to be born, empty to confirm the index. Leader only
	opJoin   op = 3 // body: cluster id | server id of the joiner. Leader only
	opStatus op = 4 // body: server id that is asked. Reply body: term, last index, applied index
)

type request struct {
	op     op
	body   []byte
	repeat bool // may be sent again when the outcome is unknown; not on the wire
}

// reply is what the other side answers.
type reply struct {
	code    code
	changed bool
	index   uint64
	leader  string // server id, when code is codeNotLeader and it is known
	text    string
	body    []byte
}

func (q request) encode() []byte {
	return append([]byte{formatVersion, byte(q.op)}, q.body...)
}

func decodeRequest(b []byte) (request, error) {
	if len(b) < 2 || b[0] != formatVersion || len(b) > MaxCommandBytes+2 {
		return request{}, fmt.Errorf("request of %d bytes to the meta group: %w", len(b), ErrInvalid)
	}
	return request{op: op(b[1]), body: b[2:]}, nil
}

func (p reply) encode() []byte {
	w := &writer{}
	w.byte(formatVersion)
	w.byte(byte(p.code))
	w.bool(p.changed)
	w.uint(p.index)
	w.text(p.leader)
	w.text(p.text[:min(len(p.text), maxText)])
	w.b = append(w.b, p.body...)
	return w.b
}

func decodeReply(b []byte) (reply, error) {
	r := &reader{b: b}
	if v := r.byte(); r.err == nil && v != formatVersion {
		return reply{}, fmt.Errorf("reply of format %d from the meta group: %w", v, ErrInvalid)
	}
	p := reply{code: code(r.byte()), changed: r.bool(), index: r.uint(), leader: r.text(), text: r.text()}
	p.body = r.b
	if r.err != nil {
		return reply{}, fmt.Errorf("reply from the meta group: %w", r.err)
	}
	return p, nil
}

// err gives the refusal in a reply, nil if it is none.
func (p reply) err() error {
	if refusalSentinels[p.code] == nil {
		return nil
	}
	return &refusal{code: p.code, text: p.text}
}

func encodeGroups(groups []uint32) []byte {
	w := &writer{}
	w.count(len(groups))
	for _, g := range groups {
		w.uint(uint64(g))
	}
	return w.b
}

func decodeGroups(b []byte) ([]uint32, error) {
	r := &reader{b: b}
	var groups []uint32
	for range r.count() {
		groups = append(groups, r.uint32())
	}
	return groups, r.end()
}

type joinBody struct {
	clusterID string
	server    membership.ServerID
}

func (j joinBody) encode() []byte {
	w := &writer{}
	w.uuid(j.clusterID)
	w.server(j.server)
	return w.b
}

func decodeJoin(b []byte) (joinBody, error) {
	r := &reader{b: b}
	j := joinBody{clusterID: r.uuid(), server: r.server()}
	return j, r.end()
}

// standing is what a member answers to opStatus. The term is read after the
// request arrived: the term check rests on it.
type standing struct{ term, last, applied uint64 }

func (s standing) encode() []byte {
	w := &writer{}
	w.uint(s.term)
	w.uint(s.last)
	w.uint(s.applied)
	return w.b
}

func decodeStanding(b []byte) (standing, error) {
	r := &reader{b: b}
	s := standing{term: r.uint(), last: r.uint(), applied: r.uint()}
	return s, r.end()
}
