package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// plainInterval is how often a progress line is written where there is no terminal.
const plainInterval = 5 * time.Second

// progress shows how far a command is, on stderr: a bar on a terminal, a plain line every 5 s elsewhere. One
// goroutine uses it.
type progress struct {
	w       io.Writer
	label   string
	total   int64 // 0: not known
	current int64
	note    atomic.Pointer[string] // the terminal's goroutine reads it
	unit    func(int64) string
	every   time.Duration
	began   time.Time
	last    time.Time // of the last plain line
	bars    *mpb.Progress
	bar     *mpb.Bar
}

// newProgress begins to show total units of work; unit turns a number of them into text.
func newProgress(w io.Writer, label string, total int64, unit func(int64) string) *progress {
	now := time.Now()
	p := &progress{w: w, label: label, total: total, unit: unit, every: plainInterval, began: now, last: now}
	p.note.Store(new(string))
	if !isTerminal(w) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	p.bar = p.bars.AddBar(total,
		mpb.PrependDecorators(decor.Name(label+" ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *p.note.Load() })),
		mpb.BarRemoveOnComplete())
	return p
}

// set says how many units are done, and what else is worth knowing.
func (p *progress) set(current int64, note string) {
	p.current = current
	if p.bar != nil {
		p.bar.SetCurrent(min(current, max(p.total-1, 0))) // it completes in end
		p.bar.SetTotal(p.total, false)
	}
	p.note.Store(&note)
	if p.bar == nil && time.Since(p.last) >= p.every {
		p.last = time.Now()
		fmt.Fprintln(p.w, p.line())
	}
}

func (p *progress) line() string {
	text := p.label + " " + p.unit(p.current)
	if p.total > 0 {
		text += fmt.Sprintf(" of %s (%d%%)", p.unit(p.total), 100*p.current/p.total)
	}
	if note := *p.note.Load(); note != "" {
		text += ", " + note
	}
	return text
}

// end takes the bar away. What came of the work is the caller's to print.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}
