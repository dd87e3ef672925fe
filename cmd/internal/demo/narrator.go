package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	liveInterval  = 100 * time.Millisecond // between two rewritings of the live line
	plainInterval = 5 * time.Second        // between two progress lines where there is no terminal
)

// The colours: bold, dim, green, red.
const (
	bold, dim, green, red = "1", "2", "32", "31"
)

// narrator writes the story to out, and progress to err: one line that is rewritten on a terminal, a plain line every
// 5 s elsewhere. One goroutine uses it.
type narrator struct {
	out, err io.Writer
	colour   bool
	live     bool
	began    time.Time
	chapters int

	shown    bool      // a live line stands on the terminal
	lastLine time.Time // of progress
}

func (n *narrator) paint(style, text string) string {
	if !n.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// chapter begins a story.
func (n *narrator) chapter(title string) {
	n.end()
	n.chapters++
	fmt.Fprintf(n.out, "\n%s %s\n", n.paint(dim, fmt.Sprintf("%5.1fs", time.Since(n.began).Seconds())),
		n.paint(bold, fmt.Sprintf("%d. %s", n.chapters, title)))
}

// line tells one thing.
func (n *narrator) line(format string, args ...any) {
	n.end()
	fmt.Fprintf(n.out, "       %s\n", fmt.Sprintf(format, args...))
}

// command shows what is run, as the user could type it.
func (n *narrator) command(words string) {
	n.end()
	fmt.Fprintf(n.out, "       %s\n", n.paint(dim, "$ flotilla "+words))
}

// mark tells how a check came out.
func (n *narrator) mark(held bool, text string) {
	n.end()
	sign := n.paint(green, "ok  ")
	if !held {
		sign = n.paint(red, "FAIL")
	}
	fmt.Fprintf(n.out, "  %s %s\n", sign, text)
}

// progress shows what is going on now; text is asked for only when it is shown.
func (n *narrator) progress(text func() string) {
	pause := plainInterval
	if n.live {
		pause = liveInterval
	}
	if time.Since(n.lastLine) < pause {
		return
	}
	n.lastLine = time.Now()
	if n.live {
		fmt.Fprintf(n.err, "\r\x1b[K       %s", text())
		n.shown = true
		return
	}
	fmt.Fprintf(n.err, "       ... %s\n", text())
}

// end takes the live line away; the next progress is shown after its pause.
func (n *narrator) end() {
	if n.shown {
		fmt.Fprint(n.err, "\r\x1b[K")
		n.shown = false
	}
	if !n.live {
		n.lastLine = time.Now()
	}
}

// rule draws a line of so many columns.
func (n *narrator) rule(width int) { fmt.Fprintln(n.out, n.paint(dim, strings.Repeat("-", width))) }

// thousands prints a number as people read it: 11,681.
func thousands[T int | int64 | uint64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// seconds prints a duration as people read it.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
