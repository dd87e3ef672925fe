package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// cell is what a table shows in one place, and how many columns of a terminal it takes.
type cell struct {
	text  string
	width int
}

// newCell makes a cell of any text. Device ids, names and values are what somebody wrote: what would move the cursor,
// change colours or turn the direction of writing is shown escaped, and the line of a row stays one line.
func newCell(text string) cell {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < ' ' || c >= 0x7f {
			text = escapeControls(text)
			return cell{text, runewidth.StringWidth(text)}
		}
	}
	return cell{text, len(text)}
}

// escapeControls writes what no terminal should be sent as Go would in a string: \n, \x1b, \u202e.
func escapeControls(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// colourMap maps words of a column to ANSI colours. Only columns that say so are painted: a device that is called
// `down` is not down.
type colourMap map[string]string

const (
	green  = "32"
	yellow = "33"
	red    = "31"
)

var (
	stateColours = colourMap{
		"up": green, "ready": green, "active": green, "done": green,
		"suspect": yellow, "syncing": yellow, "rebalancing": yellow, "draining": yellow, "drained": yellow,
		"running": yellow, "queued": yellow, "stalled": yellow,
		"down": red, "offline": red, "disputed": red, "quarantined": red, "failed": red,
	}
	leaderColours  = colourMap{noLeader: red}
	verdictColours = colourMap{"wrong": red, "unreadable": red, "disputed": red, "failed": red, "unchecked": yellow, "repaired": green}
)

// noLeader stands where the name of a leader would.
const noLeader = "none"

func (m colourMap) paint(text string) string {
	if code, ok := m[text]; ok {
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return text
}

// counted is a number with its noun: 1 point, 2 points.
func counted[T int | int64 | uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// cut shortens a cell to so many display columns, and shows that it did.
func (c cell) cut(most int) cell {
	if c.width <= most {
		return c
	}
	text := runewidth.Truncate(c.text, most, "...")
	return cell{text, runewidth.StringWidth(text)}
}
