package main

import (
	"bufio"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// column is one column of a table: its heading, and whether only -o wide shows it.
type column struct {
	heading string
	wide    bool
	right   bool      // numbers
	colours colourMap // words that are painted on a terminal
	most    int       // display columns that -o table shows of a cell, 0: all; -o wide has the rest
}

// layout writes rows under headings, aligned by display width: device ids are not always Latin. It holds the rows
// until fix, which takes the widths from them; a later row that is wider moves its own line only.
type layout struct {
	w       *bufio.Writer
	colour  bool
	columns []column
	widths  []int
	held    [][]cell
	fixed   bool
	line    []byte
}

func newLayout(w io.Writer, colour bool, columns []column) *layout {
	l := &layout{w: bufio.NewWriterSize(w, 64<<10), colour: colour}
	for _, c := range columns {
		l.addColumn(c)
	}
	return l
}

// addColumn puts a column behind the others. Once the widths are fixed, head repeats the headings.
func (l *layout) addColumn(c column) {
	h := newCell(c.heading)
	c.heading = h.text
	l.columns = append(l.columns, c)
	l.widths = append(l.widths, h.width)
}

// add takes a row; cells that it lacks at its end are absent.
func (l *layout) add(row []cell) error {
	if l.fixed {
		return l.write(row)
	}
	l.held = append(l.held, row)
	return nil
}

// fix takes the widths from the rows so far, writes these, and hands them on at once.
func (l *layout) fix() error {
	l.fixed = true
	for _, row := range l.held {
		for i, c := range row {
			l.widths[i] = max(l.widths[i], c.width)
		}
	}
	if len(l.held) > 0 {
		if err := l.head(); err != nil {
			return err
		}
	}
	for _, row := range l.held {
		if err := l.write(row); err != nil {
			return err
		}
	}
	l.held = nil
	return l.w.Flush()
}

func (l *layout) head() error {
	line := l.line[:0]
	for i, c := range l.columns {
		line = l.appendCell(line, i, cell{c.heading, runewidth.StringWidth(c.heading)}, nil)
	}
	return l.end(line)
}

func (l *layout) write(row []cell) error {
	line := l.line[:0]
	for i := range l.columns {
		c := cell{absent, len(absent)}
		if i < len(row) {
			c = row[i]
		}
		line = l.appendCell(line, i, c, l.columns[i].colours)
	}
	return l.end(line)
}

func (l *layout) appendCell(line []byte, i int, c cell, colours colourMap) []byte {
	if i > 0 {
		line = append(line, "  "...)
	}
	pad := max(0, l.widths[i]-c.width)
	if l.columns[i].right {
		line = appendSpaces(line, pad)
	}
	if l.colour && colours != nil {
		line = append(line, colours.paint(c.text)...)
	} else {
		line = append(line, c.text...)
	}
	if !l.columns[i].right && i < len(l.columns)-1 {
		line = appendSpaces(line, pad)
	}
	return line
}

// spaces is what pads a cell, as often as it takes.
var spaces = strings.Repeat(" ", 64)

func appendSpaces(line []byte, n int) []byte {
	for ; n > len(spaces); n -= len(spaces) {
		line = append(line, spaces...)
	}
	return append(line, spaces[:n]...)
}

func (l *layout) end(line []byte) error {
	for len(line) > 0 && line[len(line)-1] == ' ' {
		line = line[:len(line)-1]
	}
	l.line = append(line, '\n')
	_, err := l.w.Write(l.line)
	return err
}

// close writes what is left and a last line, unless that is empty.
func (l *layout) close(last string) error {
	if !l.fixed {
		if err := l.fix(); err != nil {
			return err
		}
	}
	if last != "" {
		if _, err := l.w.WriteString(last + "\n"); err != nil {
			return err
		}
	}
	return l.w.Flush()
}
