package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Reading all that a replica has takes as long as its disk and the rate allow.
// So an inspection is begun by the first question for it and goes on beside;
// further questions wait for a while and learn how far it is. Its result is kept,
// since an answer can be lost: who asks again is told again. One that nobody asks
// for ends and is forgotten.
const (
	// inspectWait bounds how long one question waits for the end.
	inspectWait = 5 * time.Second
	// inspectTimeout bounds one question.
	inspectTimeout = inspectWait + 10*time.Second
	// inspectSilence is how many questions in a row may be lost.
	inspectSilence = 3
)

type inspectRequest struct {
	Group uint32 `json:"group"`
	Cut   string `json:"cut"`
	// Check names the inspection: all questions for it carry the same. "": it is told
	// the result once.
	Check string `json:"check,omitempty"`
}

type inspectAnswer struct {
	Done  bool                  `json:"done"`
	Bytes int64                 `json:"bytes"` // read so far
	Found antientropy.Inspected `json:"found"`
}

// Inspect implements antientropy.Witnesses.
func (c checkCluster) Inspect(ctx context.Context, group uint32, cut, node string) (antientropy.Inspected, error) {
	q := inspectRequest{group, cut, uuid.NewString()}
	for lost := 0; ; {
		limited, cancel := context.WithTimeout(ctx, inspectTimeout)
		a, err := askNode[inspectAnswer](limited, c, node, MethodInspect, q)
		cancel()
		switch {
		case err == nil && a.Done:
			return a.Found, nil
		case errors.Is(err, ErrStructure):
			found := antientropy.Inspected{Place: a.Found.Place, Structure: err.Error()}
			if index, ok := c.cuts.Load(cut); ok {
				found.Index = index.(uint64)
			}
			return found, nil
		case err == nil:
			lost = 0
		default:
			if lost++; !transient(err) || lost > inspectSilence || ctx.Err() != nil {
				return antientropy.Inspected{}, err
			}
			if pause.For(ctx, maxPause) != nil {
				return antientropy.Inspected{}, ctx.Err()
			}
		}
	}
}

func (g *Gateway) serveInspect(ctx context.Context, m inspectRequest) ([]byte, error) {
	x, err := g.examiner(m.Group)
	if err != nil {
		return answerOf(inspectAnswer{}, err)
	}
	i, err := g.inspections.begin(m, func(ctx context.Context, progress func(int64)) (antientropy.Inspected, error) {
		return x.Inspect(ctx, m.Group, m.Cut, progress)
	})
	if err != nil {
		return answerOf(inspectAnswer{}, err)
	}
	wait := time.NewTimer(inspectWait)
	defer wait.Stop()
	select {
	case <-i.done:
		if m.Check == "" || transient(i.err) {
			g.inspections.drop(m, i) // whoever asks again wants another try
		}
		return answerOf(inspectAnswer{Done: true, Bytes: i.read(), Found: i.found}, i.err)
	case <-wait.C:
	case <-ctx.Done():
	}
	return answerOf(inspectAnswer{Bytes: i.read()}, nil)
}
