// Package demo tells Flotilla's story on a real cluster, and checks every word of it.
//
// Nouns: a Story is one chapter, a file of its own, that does something to the cluster and checks what came of it;
// the stage is what stories play on: three processes of this very binary (one story adds a fourth) on loopback in a
// temporary directory, the simulated devices that write to them, and the real readings; the scorecard holds every
// check, and the demo has succeeded only if each of them held; the narrator is the only one that prints.
//
// Stories talk to the cluster as users do: by `flotilla` commands, HTTP and the Go SDK. What they expect is computed
// here from the input, never read from the cluster: a ledger of acknowledged points, the CSV files read by another
// parser than the one that loads them.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Options say how to tell.
type Options struct {
	Binary   string    // path of the flotilla binary
	Out      io.Writer // the story
	Err      io.Writer // progress
	Colour   bool      // Out takes colours
	Live     bool      // Err is a terminal: one line that is rewritten
	Only     string    // one story; "" tells all
	Keep     bool      // leave the directory behind
	NodeArgs []string  // added to each `flotilla start`
}

// ErrNotHeld is returned when a check did not hold; the scorecard has said which.
var ErrNotHeld = errors.New("not every check held")

// ErrNoStory is returned for a name that is none.
var ErrNoStory = errors.New("no such story")

// Story is one chapter.
type Story struct {
	Name  string
	Title string
	tell  func(context.Context, *stage) error
}

// Stories are told in this order. Each one brings about by itself what it needs of those before.
func Stories() []Story {
	return []Story{
		{"weather", "Real readings: daily and hourly weather of real stations", tellWeather},
		{"load", "A steady load: 2,000 simulated devices make all 256 groups live", tellLoad},
		{"kill", "kill -9 of one node in mid-write", tellKill},
		{"replay", "A node is away for a short time: its log is replayed", tellReplay},
		{"delta", "A node is away, and the log is trimmed meanwhile: only changed leaves are copied", tellDelta},
		{"wiped", "kill -9 of a node, and its disk is wiped: everything is copied, from both others", tellWiped},
		{"fourth", "A fourth node takes over replicas of chosen groups", tellFourth},
		{"blackout", "kill -9 of all three nodes at once", tellBlackout},
		{"rot", "A bit flips in the file of a follower, then in that of a leader", tellRot},
	}
}

// Names lists the stories for a help text.
func Names() string {
	var names []string
	for _, s := range Stories() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// Run tells the stories, prints the scorecard, and cleans up. nil means that every check held.
func Run(ctx context.Context, o Options) (err error) {
	stories := Stories()
	if o.Only != "" {
		i := slices.IndexFunc(stories, func(s Story) bool { return s.Name == o.Only })
		if i < 0 {
			return fmt.Errorf("%w: %q; there are %s", ErrNoStory, o.Only, Names())
		}
		stories = stories[i : i+1]
	}
	dir, err := os.MkdirTemp("", "flotilla-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	n := &narrator{out: o.Out, err: o.Err, colour: o.Colour, live: o.Live, began: time.Now()}
	s := &stage{Options: o, dir: dir, say: n, score: &scorecard{say: n}}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return s.abandon(ctx, "start", err)
	}
	for _, story := range stories {
		n.chapter(story.Title)
		if err := story.tell(ctx, s); err != nil {
			return s.abandon(ctx, story.Name, err)
		}
	}
	s.stop(ctx)
	s.printMoves()
	s.score.print()
	if !s.score.held() {
		s.tails()
		return ErrNotHeld
	}
	return nil
}

// abandon ends the demo where a story cannot go on: what was checked so far, what the nodes said last.
func (s *stage) abandon(ctx context.Context, story string, err error) error {
	s.say.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.score.check("story "+story, false, "%v", err)
	s.score.print()
	s.tails()
	return fmt.Errorf("%s: %w", story, err)
}
