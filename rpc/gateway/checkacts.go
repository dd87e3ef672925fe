package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// repairLook is how long a question about a repair's job waits for its next
	// stage, or its end.
	repairLook = time.Second
	// repairNudge is the pause between two entries for a replica that waits for one.
	repairNudge = 100 * time.Millisecond
	// repairPause is the pause before a node is asked again that did not answer, or
	// that does not wait.
	repairPause = 20 * time.Millisecond
	// stageReplay is the stage of a job whose copy is installed.
	stageReplay = "replay"
	// repairPatience bounds the wait for it: a job that takes longer goes on, and
	// the next check sees what came of it.
	repairPatience = 30 * time.Minute
	// repairStill bounds the wait for one that has begun and comes no further.
	repairStill = 5 * time.Minute
	// repairSilence bounds the wait for a node that does not answer about its job.
	repairSilence = 30 * time.Second
)

type accuseRequest struct {
	Group     uint32                 `json:"group"`
	Suspicion *antientropy.Suspicion `json:"suspicion"`        // null: it is acquitted
	Leaves    []digest.Leaf          `json:"leaves,omitempty"` // of these; none: of all
}

type repairRequest struct {
	Group  uint32             `json:"group"`
	Repair antientropy.Repair `json:"repair"`
}

type repairAnswer struct {
	Job   api.Job `json:"job"`
	Begun bool    `json:"begun"` // false: there is nothing to be done
}

// Repair implements antientropy.Acts.
func (c checkCluster) Repair(ctx context.Context, group uint32, node string, r antientropy.Repair) error {
	defer c.known.forget(group)
	job, err := c.beginRepair(ctx, group, node, r)
	if err != nil || job == "" {
		return err
	}
	c.g.Note(api.EventRepair, &group, node, "repair begins (job %s): %s", job, r.Why)
	err = c.awaitJob(ctx, group, node, job)
	if err != nil {
		c.g.Note(api.EventRepair, &group, node, "repair has failed (job %s): %v", job, err)
		return err
	}
	c.g.Note(api.EventRepair, &group, node, "repair is done (job %s), and is to be proven", job)
	return nil
}

// beginRepair gives the id of the job, "" where there is none to wait for.
func (c checkCluster) beginRepair(ctx context.Context, group uint32, node string, r antientropy.Repair) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	a, err := askNode[repairAnswer](ctx, c, node, MethodRepair, repairRequest{group, r})
	if err != nil || !a.Begun {
		return "", err
	}
	return a.Job.ID, nil
}

// awaitJob waits for the end of a repair. A replica that was installed learns what
// is committed with the next entry only: one is made, since nothing else may be
// written to the group for a while.
func (c checkCluster) awaitJob(ctx context.Context, group uint32, node, id string) error {
	ctx, cancel := context.WithTimeout(ctx, repairPatience)
	defer cancel()
	heard := time.Now()
	moved := patience{since: heard}
	for q := (jobRequest{ID: id, WaitMs: repairLook.Milliseconds()}); ; {
		asked, staged := time.Now(), false
		j, err := c.jobOf(ctx, node, q)
		switch {
		case err == nil && j.Final():
			return jobError(j)
		case err == nil:
			heard = time.Now()
			stage := stageOf(&j)
			staged = stage != q.Seen
			if still := moved.still(&j, heard); still > repairStill {
				return fmt.Errorf("job %s goes on, and has come no further for %v: %s", id, still.Round(time.Second), waitsFor(&j))
			}
			if q.Seen, q.WaitMs = stage, repairLook.Milliseconds(); stage == stageReplay {
				q.WaitMs = repairNudge.Milliseconds()
				_ = c.g.command(ctx, group, storage.AppendNoop(nil)) // or it learns of it later
			}
		case time.Since(heard) > repairSilence:
			return fmt.Errorf("job %s: %w", id, err)
		}
		if !staged && time.Since(asked) < repairPause && pause.For(ctx, repairPause) != nil {
			return fmt.Errorf("job %s goes on: %w", id, ctx.Err())
		}
	}
}

// patience is with a job that does not move.
type patience struct {
	since time.Time // by this node's clock
	stage string
	bytes int64
	at    time.Time // by its node's
}

// still is how long a job has come no further. One that waits for its turn does not hang.
func (p *patience) still(j *api.Job, now time.Time) time.Duration {
	stage, at := stageOf(j), j.LastProgressAt.Time
	if j.Status == api.StatusQueued || stage != p.stage || j.BytesDone != p.bytes || !at.Equal(p.at) {
		*p = patience{now, stage, j.BytesDone, at}
	}
	return now.Sub(p.since)
}

func waitsFor(j *api.Job) string {
	if j.BlockedBy != nil {
		return *j.BlockedBy
	}
	return "its stage is " + stageOf(j)
}

func stageOf(j *api.Job) string {
	if j.Stage == nil {
		return ""
	}
	return *j.Stage
}

func (c checkCluster) jobOf(ctx context.Context, node string, q jobRequest) (api.Job, error) {
	to, err := c.id(node)
	if err != nil {
		return api.Job{}, err
	}
	limited, cancel := context.WithTimeout(ctx, reportTimeout+repairLook)
	defer cancel()
	var reply jobReply
	if err := c.g.askJSON(limited, to, MethodJobs, q, &reply); err != nil {
		return api.Job{}, err
	}
	if len(reply.Jobs) == 0 {
		return api.Job{}, fmt.Errorf("node %s knows no such job", node)
	}
	return reply.Jobs[0], nil
}

func jobError(j api.Job) error {
	if j.Status == api.StatusDone {
		return nil
	}
	why := j.Status
	if j.Error != nil {
		why += ": " + *j.Error
	}
	return fmt.Errorf("job %s %s", j.ID, why)
}

// transient reports whether asking again may help at once.
func transient(err error) bool {
	return errors.Is(err, ErrBroken) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBusy) || errors.Is(err, context.DeadlineExceeded)
}

func (g *Gateway) serveAccuse(ctx context.Context, m accuseRequest) ([]byte, error) {
	x, err := g.examiner(m.Group)
	switch {
	case err != nil:
	case m.Suspicion == nil:
		err = x.Acquit(ctx, m.Group, m.Leaves)
	default:
		err = x.Accuse(ctx, m.Group, *m.Suspicion)
	}
	return answerOf(struct{}{}, err)
}

func (g *Gateway) serveRepair(ctx context.Context, m repairRequest) ([]byte, error) {
	var a repairAnswer
	x, err := g.examiner(m.Group)
	if err == nil {
		a.Job, a.Begun, err = x.Repair(ctx, m.Group, m.Repair)
	}
	return answerOf(a, err)
}
