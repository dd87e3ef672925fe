package resync

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// The calls of a target to the leader: one JSON object each way, of at most maxMessage bytes. A request names its op
// and carries the part for it; an answer carries a code (empty: all is well) and the part asked for. Whoever reads one
// checks all of it before it does anything.
const (
	wireVersion   = 1
	maxMessage    = 512 << 10
	maxText       = 256     // bytes of an id, a name, a lineage
	maxErrorText  = 4 << 10 // bytes; longer ones are cut
	maxTermRuns   = 4096    // of a target's log; older ones are left out
	maxSources    = 64
	maxCutIDs     = 4096 // of one job
	maxStateBytes = 256 << 10
	maxLeaves     = 4 << 20 // of a manifest
	pageLeaves    = 4096    // of a manifest in one answer
	entryBytes    = 8 + 1 + 32 + 8 + 8
)

// op is what a request asks for.
type op string

const (
	opPlan      op = "plan"
	opRenew     op = "renew"
	opCut       op = "cut"
	opRecord    op = "record"
	opView      op = "view"
	opManifest  op = "manifest"
	opChallenge op = "challenge"
	opProve     op = "prove"
	opHold      op = "hold-record"
	opEnd       op = "end"
)

// session is what a job agreed with a leader at plan.
type session struct {
	Leader  string `json:"leader"` // server id
	Term    uint64 `json:"term"`
	Lineage string `json:"lineage"`
	Epoch   uint64 `json:"epoch"`
}

type request struct {
	Version int     `json:"version"`
	Op      op      `json:"op"`
	Job     string  `json:"job"`
	Group   uint32  `json:"group"`
	Target  string  `json:"target"` // server id
	Session session `json:"session"`

	Plan   *planAsk  `json:"plan,omitempty"`
	Renew  *renewAsk `json:"renew,omitempty"`
	Cut    *CutAsk   `json:"cut,omitempty"`
	CutID  string    `json:"cut_id,omitempty"` // of view, manifest, challenge, prove, hold-record
	Offset int       `json:"offset,omitempty"` // of manifest
	Sum    digest.ID `json:"sum"`              // of prove
	Hold   bool      `json:"hold,omitempty"`   // of prove: where the sums are equal, as hold-record
	Drop   []string  `json:"drop,omitempty"`   // leases and views to end: of cut, record and end
	Pin    string    `json:"pin,omitempty"`    // of end
}

type planAsk struct {
	Target walgap.Target `json:"target"`
	Mode   walgap.Mode   `json:"mode"`
	Rates  walgap.Rates  `json:"rates"`
	DryRun bool          `json:"dry_run,omitempty"`
	// CutLeases: the log lease of a copy is taken with its cut, in one entry.
	CutLeases bool `json:"cut_leases,omitempty"`
}

type renewAsk struct {
	From   uint64 `json:"from,omitempty"`
	Leased bool   `json:"leased"`           // it was taken before: that it is gone is news
	Record bool   `json:"record,omitempty"` // a record was pinned: nothing is to be put into the log
	CutID  string `json:"cut_id,omitempty"`
}

// code is how an answer failed.
type code string

const (
	codeMoved     code = "moved"
	codeNotLeader code = "not-leader"
	codeRefused   code = "refused"
	codeBusy      code = "busy"
	codeAborted   code = "aborted"
	codeNotPinned code = "not-pinned"
	codePending   code = "pending"
	codeUnproven  code = "unproven"
	codeLeads     code = "leads"
	codeFailed    code = "failed"
)

// codeErrors maps codes to what they mean on both ends.
var codeErrors = []struct {
	code code
	err  error
}{
	{codeMoved, ErrMoved}, {codeNotLeader, ErrNotLeader}, {codeRefused, ErrRefused}, {codeBusy, ErrBusy},
	{codeAborted, ErrAborted}, {codeNotPinned, storage.ErrNotPinned}, {codePending, errPending}, {codeUnproven, ErrUnproven},
	{codeLeads, ErrLeads},
}

type answer struct {
	Version int     `json:"version"`
	Code    code    `json:"code,omitempty"`
	Text    string  `json:"text,omitempty"`
	Session session `json:"session"`

	Plan   *planAnswer   `json:"plan,omitempty"`
	Index  uint64        `json:"index,omitempty"` // of the renewal's command; of prove: what the leader has applied
	Cut    *cutAnswer    `json:"cut,omitempty"`
	View   *viewAnswer   `json:"view,omitempty"` // also of cut, where it was soon there
	Page   []byte        `json:"page,omitempty"` // entries, entryBytes each; of a cut with its view: the first ones
	Held   bool          `json:"held,omitempty"` // of prove: Raft is shown the record
	Key    []byte        `json:"key,omitempty"`
	Equal  bool          `json:"equal,omitempty"`
	Sum    digest.ID     `json:"sum"`
	Fenced time.Duration `json:"fenced,omitempty"` // also of a cut that was aborted
}

type planAnswer struct {
	Verdict walgap.Verdict `json:"verdict"`
	Leader  walgap.Leader  `json:"leader"` // without its term runs
	Index   uint64         `json:"index"`  // of the lease's command; 0: none was taken
	Sources []Source       `json:"sources"`
}

type cutAnswer struct {
	ID       string           `json:"id"`
	Position storage.Position `json:"position"`
}

type viewAnswer struct {
	Root   digest.ID `json:"root"`
	Leaves int       `json:"leaves"`
	State  []byte    `json:"state"`
}

// Error makes an answer's code an error.
func (a *answer) error() error {
	if a.Code == "" {
		return nil
	}
	for _, known := range codeErrors {
		if known.code == a.Code {
			return fmt.Errorf("%w: %s", known.err, a.Text)
		}
	}
	return &leaderError{a.Text}
}

// leaderError is an answer that failed for a reason of the leader's own.
type leaderError struct{ text string }

func (e *leaderError) Error() string { return "leader: " + e.text }

// failure makes an error an answer.
func failure(err error) *answer {
	a := &answer{Code: codeFailed, Text: err.Error()}
	for _, known := range codeErrors {
		if errors.Is(err, known.err) {
			a.Code, a.Text = known.code, strings.TrimPrefix(a.Text, known.err.Error()+": ")
			break
		}
	}
	if len(a.Text) > maxErrorText {
		a.Text = strings.ToValidUTF8(a.Text[:maxErrorText], "")
	}
	return a
}

func encode(what string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err == nil && len(b) > maxMessage {
		err = fmt.Errorf("%d bytes, more than %d", len(b), maxMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w: %w", what, ErrWire, err)
	}
	return b, nil
}

func decode(what string, b []byte, v any) error {
	if len(b) > maxMessage {
		return fmt.Errorf("decode %s of %d bytes: %w", what, len(b), ErrWire)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %s: %w: %w", what, ErrWire, err)
	}
	return nil
}

// newCutID names the n-th cut of a job. No other has the name, not even one of the same number that the job has
// forgotten: a view of an older state must not be taken for this one's.
func newCutID(job string, n int) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%s.%x", oldCutID(job, n), b)
}

// oldCutID names the n-th cut of a job that an older binary began.
func oldCutID(job string, n int) string { return fmt.Sprintf("%s.c%d", job, n) }

// ownedBy reports whether a lease is one of the job's.
func ownedBy(job, id string) bool { return id == job || strings.HasPrefix(id, job+".c") }

// appendEntry and readPage are the manifest's lines: window, slot, content id, points, bytes; big endian.
func appendEntry(dst []byte, e digest.Entry) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Window))
	dst = append(append(dst, e.Slot), e.ID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, e.Points)
	return binary.BigEndian.AppendUint64(dst, e.Bytes)
}

// readPage appends a page's entries to a manifest that is in strict leaf order, and stays so.
func readPage(dst []digest.Entry, page []byte) ([]digest.Entry, error) {
	if len(page) == 0 || len(page)%entryBytes != 0 || len(page) > pageLeaves*entryBytes {
		return nil, fmt.Errorf("%w: manifest page of %d bytes", ErrWire, len(page))
	}
	for ; len(page) > 0; page = page[entryBytes:] {
		e := digest.Entry{Leaf: digest.Leaf{Window: int64(binary.BigEndian.Uint64(page)), Slot: page[8]}}
		copy(e.ID[:], page[9:41])
		e.Points, e.Bytes = binary.BigEndian.Uint64(page[41:]), binary.BigEndian.Uint64(page[49:])
		if e.Slot >= digest.Slots || e.Points == 0 || e.Bytes == 0 || e.Bytes > maxLeafBytes {
			return nil, fmt.Errorf("%w: manifest entry %s with %d points, %d bytes", ErrWire, e.Leaf, e.Points, e.Bytes)
		}
		if n := len(dst); n > 0 && dst[n-1].Leaf.Compare(e.Leaf) >= 0 {
			return nil, fmt.Errorf("%w: manifest out of order at %s", ErrWire, e.Leaf)
		}
		dst = append(dst, e)
	}
	return dst, nil
}
