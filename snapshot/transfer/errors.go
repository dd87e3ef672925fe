package transfer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/flotilla-db/flotilla/storage"
)

var (
	// ErrNotPinned: the source has no view of the cut. It is dropped; when all say so, take another cut.
	ErrNotPinned = storage.ErrNotPinned
	// ErrNotServed: the source may not serve this group: its replica is held, quarantined, syncing, or not there. Ask another one.
	ErrNotServed = errors.New("replica may not be a source")
	// ErrBusy: all streams of the source are taken. Ask again later.
	ErrBusy = errors.New("source is busy")
	// ErrMessage: what came in is no message of this protocol, or not what was asked for. Do not trust the source.
	ErrMessage = errors.New("not a message of leaves")
	// ErrWrongContent: the leaf bytes are not those of the manifest. The sink returns it to blame the source, which is dropped.
	ErrWrongContent = storage.ErrWrongContent
	// ErrSilent: no byte came from the source for Plan.Silence.
	ErrSilent = errors.New("source is silent")
	// ErrIncomplete: the source ended its answer without all leaves that it was asked for.
	ErrIncomplete = errors.New("source left leaves out")
	// ErrNoSource: no source is left and leaves are missing. SourcesGone has the reasons. What arrived is stored: go on with other sources.
	ErrNoSource = errors.New("no source is left")
)

// SourcesGone is ErrNoSource with why each source was dropped.
type SourcesGone struct {
	Missing int // leaves that are still wanted
	Reasons []Dropped
}

// Dropped says why a source is no longer asked.
type Dropped struct {
	Source string
	Err    error
}

// Error names every source and its reason.
func (e *SourcesGone) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %d leaves are missing", ErrNoSource, e.Missing)
	for _, d := range e.Reasons {
		fmt.Fprintf(&b, "; %s: %v", d.Source, d.Err)
	}
	if len(e.Reasons) == 0 {
		b.WriteString("; none was given")
	}
	return b.String()
}

// Unwrap makes errors.Is find ErrNoSource and the reasons.
func (e *SourcesGone) Unwrap() []error {
	all := []error{ErrNoSource}
	for _, d := range e.Reasons {
		all = append(all, d.Err)
	}
	return all
}
