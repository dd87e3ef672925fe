package lineproto

import (
	"bytes"
	"errors"
	"io"
)

// maxCSVLines bounds the lines of one quoted record: a quote that is never
// closed must not swallow the rest of a file.
const maxCSVLines = 1024

var (
	errQuoteOpen = errors.New("a quoted cell is not closed")
	errQuoteStay = errors.New("a quote inside a cell that does not begin with one")
	errQuoteTail = errors.New("text behind a closing quote")
)

// csvRecords splits a text into records (RFC 4180). A record that is refused
// costs its first line only: the next one begins on the line after it.
type csvRecords struct {
	lines *lines
	cells [][]byte
	text  []byte // of the record; cells with doubled quotes point elsewhere
}

// next gives the cells of the next record that is not blank, valid until the
// call after it, and the line on which it begins.
func (c *csvRecords) next() (cells [][]byte, no int64, err error) {
	for {
		line, err := c.lines.next()
		no = c.lines.no
		if err != nil {
			return nil, no, err
		}
		if len(line) == 0 {
			continue
		}
		c.text = append(c.text[:0], line...)
		err = c.split()
		if errors.Is(err, errQuoteOpen) {
			err = c.join()
		}
		return c.cells, no, err
	}
}

// join adds lines until the quoted cell is closed, or gives them back.
func (c *csvRecords) join() error {
	first := len(c.text)
	var ahead [][]byte
	for len(ahead) < maxCSVLines && len(c.text)-first < maxStringAhead {
		line, err := c.lines.next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, errTooLong) {
				return err
			}
			break
		}
		ahead = append(ahead, bytes.Clone(line))
		c.text = append(append(c.text, '\n'), line...)
		if bytes.IndexByte(line, '"') < 0 {
			continue
		}
		if err := c.split(); err == nil {
			return nil
		} else if !errors.Is(err, errQuoteOpen) {
			break
		}
	}
	c.lines.unread(ahead)
	return errQuoteOpen
}

// split cuts c.text into cells.
func (c *csvRecords) split() error {
	c.cells = c.cells[:0]
	for rest := c.text; ; {
		cell, after, err := cutCell(rest)
		if err != nil {
			return err
		}
		c.cells = append(c.cells, cell)
		if len(after) == 0 {
			return nil
		}
		rest = after[1:] // behind the comma
	}
}

// cutCell gives the first cell, and what follows it, comma included.
func cutCell(b []byte) (cell, after []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		end := bytes.IndexByte(b, ',')
		if end < 0 {
			end = len(b)
		}
		if bytes.IndexByte(b[:end], '"') >= 0 {
			return nil, nil, errQuoteStay
		}
		return b[:end], b[end:], nil
	}
	b = b[1:]
	var unquoted []byte
	for {
		end := bytes.IndexByte(b, '"')
		if end < 0 {
			return nil, nil, errQuoteOpen
		}
		if end+1 < len(b) && b[end+1] == '"' {
			unquoted = append(unquoted, b[:end+1]...)
			b = b[end+2:]
			continue
		}
		if end+1 < len(b) && b[end+1] != ',' {
			return nil, nil, errQuoteTail
		}
		if unquoted == nil {
			return b[:end], b[end+1:], nil
		}
		return append(unquoted, b[:end]...), b[end+1:], nil
	}
}
