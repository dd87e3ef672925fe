package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// boardWidth is that of a bar alone, in columns.
	boardWidth = 24
	// boardBars bounds the bars of jobs: more than run at once on a node would push the total off the screen.
	boardBars = 12
	// boardScale is the length of a bar in steps; bytes may not be known when it begins.
	boardScale = 1000
)

// jobBoard shows on stderr how far jobs are: on a terminal a bar for each that runs and one of all, elsewhere a plain
// line at intervals.
type jobBoard struct {
	w     io.Writer
	label string
	every time.Duration
	began time.Time
	last  time.Time // of the last plain line

	bars  *mpb.Progress // nil: no terminal
	total *jobBar       // nil: there is one job
	byJob map[string]*jobBar
}

// jobBar is one bar and the text beside it.
type jobBar struct {
	*mpb.Bar
	mu   sync.Mutex
	text string // guarded by mu: the terminal's goroutine reads it
}

func (b *jobBar) say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = text
}

func (b *jobBar) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text
}

// newJobBoard begins to show jobs; several says that there is more than one.
func newJobBoard(w io.Writer, label string, several bool, every time.Duration) *jobBoard {
	now := time.Now()
	b := &jobBoard{w: w, label: label, every: every, began: now, last: now, byJob: map[string]*jobBar{}}
	if isTerminal(w) {
		b.draw(several)
	}
	return b
}

func (b *jobBoard) draw(several bool, options ...mpb.ContainerOption) {
	b.bars = mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(b.w), mpb.WithWidth(boardWidth)}, options...)...)
	if several {
		b.total = b.add("total", 1)
	}
}

// add puts a bar on the board; the total stays last.
func (b *jobBoard) add(name string, priority int) *jobBar {
	bar := &jobBar{}
	bar.Bar = b.bars.AddBar(boardScale, mpb.BarPriority(priority), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name+" ", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + bar.said() })))
	return bar
}

// show brings the board up to date.
func (b *jobBoard) show(jobs []*finishedJob) {
	sum := sumJobs(jobs, time.Since(b.began))
	if b.bars == nil {
		if time.Since(b.last) >= b.every {
			b.last = time.Now()
			fmt.Fprintln(b.w, b.line(jobs, &sum))
		}
		return
	}
	for _, j := range jobs {
		bar := b.byJob[j.ID]
		switch under := j.Status == api.StatusRunning || j.Status == api.StatusStalled || len(jobs) == 1 && !j.Final(); {
		case bar != nil && j.Final():
			bar.Abort(true)
			delete(b.byJob, j.ID)
		case bar == nil && under && len(b.byJob) < boardBars:
			bar = b.add(subjectOf(&j.Job), 0)
			b.byJob[j.ID] = bar
			bar.progress(&j.Job)
		case bar != nil:
			bar.progress(&j.Job)
		}
	}
	if b.total != nil {
		b.total.say(sum.String())
		b.total.SetCurrent(min(steps(sum), boardScale-1)) // it ends in end
	}
}

// steps is how far the bar of all is: by jobs, each with the part of it that is done.
func steps(s jobSum) int64 {
	if s.jobs == 0 {
		return 0
	}
	part := 0.0
	if s.total > 0 && s.running+s.stalled > 0 {
		part = float64(s.bytes) / float64(s.total) * float64(s.running+s.stalled)
	}
	return int64((float64(s.done+s.failed) + part) / float64(s.jobs) * boardScale)
}

func (b *jobBar) progress(j *api.Job) {
	text := stageOf(j)
	for _, p := range []string{bytesOf(j), speedOf(j)} {
		if p != "" {
			text += ", " + p
		}
	}
	b.say(text)
	if j.BytesTotal > 0 {
		b.SetCurrent(min(boardScale*min(j.BytesDone, j.BytesTotal)/j.BytesTotal, boardScale-1))
	}
}

// plainJobs bounds the jobs that a plain line names.
const plainJobs = 5

// line is the board where there is no terminal.
func (b *jobBoard) line(jobs []*finishedJob, sum *jobSum) string {
	if len(jobs) == 1 {
		return b.label + " " + progressOf(&jobs[0].Job)
	}
	text, named := b.label+": "+sum.String(), 0
	for _, j := range jobs {
		if j.Final() || j.Status == api.StatusQueued {
			continue
		}
		if named++; named > plainJobs {
			break
		}
		text += "; " + progressOf(&j.Job)
	}
	return text
}

// end takes the bars away. What came of the jobs is the caller's to print.
func (b *jobBoard) end() {
	if b.bars == nil {
		return
	}
	for _, bar := range b.byJob {
		bar.Abort(true)
	}
	if b.total != nil {
		b.total.Abort(true)
	}
	b.bars.Wait()
}
