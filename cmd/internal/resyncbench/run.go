package resyncbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// Options say what to measure.
type Options struct {
	Binary string // path of the flotilla binary
	Dir    string // where the temporary directory is made; "" is the system's place
	Bytes  int64  // over all groups
	Runs   int
	Checks bool   // those of `flotilla bench check`, else those of `flotilla bench resync`
	Only   string // one scene; "" plays all
	// Say is told each step; Fill how many of all groups are filled.
	Say  func(format string, args ...any)
	Fill func(done, all int)
}

// MaxRuns bounds Options.Runs.
const MaxRuns = 100

// ErrNoScene is returned for a name that is none.
var ErrNoScene = errors.New("no such scene")

// scene measures one situation, and leaves a cluster behind whose replicas are equal.
type scene struct {
	name string
	play func(context.Context, *rig, *ledger) error
}

var scenes = []scene{
	{"files", playFiles},
	{"full", playFull},
	{"delta", playDelta},
	{"replay", playReplay},
	{"load", playLoad},
}

// Scenes lists the names for a help text.
func Scenes(checks bool) string {
	var names []string
	for _, s := range scenesOf(checks) {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

func scenesOf(checks bool) []scene {
	if checks {
		return checkScenes
	}
	return scenes
}

// Run fills a cluster and plays the scenes, run after run.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	play := scenesOf(o.Checks)
	if o.Only != "" {
		i := slices.IndexFunc(play, func(s scene) bool { return s.name == o.Only })
		if i < 0 {
			return nil, fmt.Errorf("%w: %q; there are %s", ErrNoScene, o.Only, Scenes(o.Checks))
		}
		play = play[i : i+1]
	}
	sh, err := shapeOf(o.Bytes)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "flotilla-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the benchmark: %w", err)
	}
	r := &rig{series: seriesOfGroups(), shape: sh, say: o.Say}
	defer func() {
		if err != nil && ctx.Err() == nil && r.fleet != nil {
			r.tails()
		}
		err = errors.Join(err, r.close(), os.RemoveAll(dir))
	}()
	if err := r.open(ctx, o.Binary, dir); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, o.Fill); err != nil {
		return nil, err
	}
	l := newLedger()
	for run := range o.Runs {
		for _, s := range play {
			o.Say("run %d of %d: %s", run+1, o.Runs, s.name)
			if err := s.play(ctx, r, l); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return l.report(r.bytes, o.Runs), nil
}

// fill stops the nodes, fills them, and starts them again.
func (r *rig) fill(ctx context.Context, done func(done, all int)) error {
	if err := r.stop(ctx, r.fleet.Processes...); err != nil {
		return err
	}
	var mu sync.Mutex // guards filled, and one call of done at a time
	filled := 0
	err := below(ctx, r.dirs(), allGroups(), r.shape.fill(r.series, fillSeed), func() {
		mu.Lock()
		defer mu.Unlock()
		filled++
		done(filled, totalGroups)
	})
	if err != nil {
		return err
	}
	if r.bytes, err = leafBytes(ctx, r.dirs()[0]); err != nil {
		return err
	}
	if err := r.start(ctx, r.fleet.Processes...); err != nil {
		return err
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	return r.equal(ctx)
}

// fillSeed is fixed: the same size gives the same files.
const fillSeed = 1
