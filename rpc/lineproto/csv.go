package lineproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// NoTimeColumn as the time column says that the rows of a CSV have no time.
const NoTimeColumn = "-"

// csvReader reads CSV with a header line: one column names the device (unless
// all rows are of one), one the time, each other one is a field ($id, $time and
// $times are fields called id, time and times, as in JSON). An empty cell is a field that the row does
// not have. A cell is a number (float64), an integer with i or u behind it
// (int64, uint64), true or false, and else a text.
type csvReader struct {
	records csvRecords
	o       Options
	time    func(string) (int64, error)
	names   interner
	header  []string
	device  int // column, -1: o.Device
	stamp   int // column, -1: none
	slab    []storage.Field
}

func newCSV(r io.Reader, o Options) (Reader, error) {
	if o.Collection == "" {
		return nil, fmt.Errorf("%w: csv needs a collection", ErrOptions)
	}
	parse, err := ParseLayout(o.TimeLayout)
	if err != nil {
		return nil, err
	}
	return &csvReader{records: csvRecords{lines: newLines(r)}, o: o, time: parse, names: interner{}}, nil
}

// readHeader finds the columns. An error here concerns the whole text.
func (c *csvReader) readHeader() error {
	cells, no, err := c.records.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return err
		}
		return fmt.Errorf("%w: header on line %d: %w", ErrOptions, no, err)
	}
	seen := map[string]bool{}
	for i, cell := range cells {
		name := strings.TrimSpace(string(cell))
		if name == "" || seen[name] {
			return fmt.Errorf("%w: header on line %d: column %d has the name %q, which is empty or there twice", ErrOptions, no, i+1, name)
		}
		seen[name] = true
		c.header = append(c.header, name)
	}
	c.device = -1
	if c.o.Device == "" {
		if c.device, err = c.column(c.o.DeviceColumn, "id", "device column"); err != nil {
			return err
		}
		if c.device < 0 {
			return fmt.Errorf(`%w: no column "id" among %s: name the device column, or the device`, ErrOptions, strings.Join(c.header, ", "))
		}
	}
	if c.stamp = -1; c.o.TimeColumn == NoTimeColumn {
		return nil
	}
	c.stamp, err = c.column(c.o.TimeColumn, "time", "time column")
	if err == nil && c.stamp < 0 {
		err = fmt.Errorf(`%w: no column "time" among %s: name the time column, or %q to have the points stamped when they are written`,
			ErrOptions, strings.Join(c.header, ", "), NoTimeColumn)
	}
	if err == nil && c.stamp >= 0 && c.stamp == c.device {
		err = fmt.Errorf("%w: column %q is both device and time", ErrOptions, c.header[c.stamp])
	}
	return err
}

// column finds a column by its given name, which must be there, or by its
// default one, which need not (-1).
func (c *csvReader) column(name, fallback, what string) (int, error) {
	want := name
	if want == "" {
		want = fallback
	}
	for i, have := range c.header {
		if have == want {
			return i, nil
		}
	}
	if name != "" {
		return -1, fmt.Errorf("%w: %s %q is not among %s", ErrOptions, what, name, strings.Join(c.header, ", "))
	}
	return -1, nil
}

// Read gives the next point.
func (c *csvReader) Read() (Record, error) {
	if c.header == nil {
		if err := c.readHeader(); err != nil {
			return Record{}, err
		}
	}
	cells, no, err := c.records.next()
	switch {
	case errors.Is(err, errQuoteOpen), errors.Is(err, errQuoteStay), errors.Is(err, errQuoteTail), errors.Is(err, errTooLong):
		return refuse(no, "%w", err)
	case err != nil:
		return Record{}, err
	case len(cells) != len(c.header):
		return refuse(no, "%d cells, the header has %d", len(cells), len(c.header))
	}
	p, err := c.point(cells)
	if err != nil {
		return Record{}, &LineError{no, err}
	}
	return checked(no, p, c.o.Limits)
}

func (c *csvReader) point(cells [][]byte) (storage.Point, error) {
	p := storage.Point{Series: storage.Series{Database: c.o.Database, Collection: c.o.Collection, Device: c.o.Device}, Time: noTime}
	if cap(c.slab)-len(c.slab) < len(cells) {
		c.slab = make([]storage.Field, 0, max(fieldsPerSlab, len(cells)))
	}
	begin := len(c.slab)
	for i, cell := range cells {
		switch i {
		case c.device:
			p.Device = c.names.of(cell)
			continue
		case c.stamp:
			text := strings.TrimSpace(string(cell))
			if text == "" {
				return p, fmt.Errorf("column %q: the time is empty", c.header[i])
			}
			var err error
			if p.Time, err = c.time(text); err != nil {
				return p, fmt.Errorf("column %q: %w", c.header[i], err)
			}
			continue
		}
		if len(cell) == 0 {
			continue
		}
		v, err := c.value(cell)
		if err != nil {
			return p, fmt.Errorf("column %q: %w", c.header[i], err)
		}
		c.slab = append(c.slab, storage.Field{Name: unescapeField(c.header[i]), Value: v})
	}
	p.Fields = c.slab[begin:len(c.slab):len(c.slab)]
	return p, nil
}

// value reads a cell.
func (c *csvReader) value(cell []byte) (blocks.Value, error) {
	text := string(bytes.TrimSpace(cell))
	if text == "" {
		return blocks.Text(string(cell)), nil
	}
	switch text {
	case "true", "True", "TRUE":
		return blocks.Boolean(true), nil
	case "false", "False", "FALSE":
		return blocks.Boolean(false), nil
	}
	if strings.EqualFold(strings.TrimLeft(text, "+-"), "nan") || isInf(text) {
		return blocks.Value{}, fmt.Errorf("%q: NaN and Inf are refused", text)
	}
	first := strings.TrimLeft(text, "+-")
	if first == "" || first[0] != '.' && (first[0] < '0' || first[0] > '9') {
		return blocks.Text(c.names.of(cell)), nil
	}
	return number(text, cell)
}

func isInf(text string) bool {
	bare := strings.TrimLeft(text, "+-")
	return strings.EqualFold(bare, "inf") || strings.EqualFold(bare, "infinity")
}

// number reads a cell that begins like a number; what is none is a text.
func number(text string, cell []byte) (blocks.Value, error) {
	last := text[len(text)-1]
	switch bare := text[:len(text)-1]; last {
	case 'i':
		if n, err := strconv.ParseInt(bare, 10, 64); err == nil {
			return blocks.Int(n), nil
		} else if errors.Is(err, strconv.ErrRange) {
			return blocks.Value{}, fmt.Errorf("%q is beyond an int64", text)
		}
	case 'u':
		if n, err := strconv.ParseUint(bare, 10, 64); err == nil {
			return blocks.Uint(n), nil
		} else if errors.Is(err, strconv.ErrRange) {
			return blocks.Value{}, fmt.Errorf("%q is beyond a uint64", text)
		}
	}
	if strings.ContainsAny(text, "xXpP_") { // Go's own spellings are no numbers here
		return blocks.Text(string(cell)), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err == nil:
		return blocks.Float(f), nil
	case math.IsInf(f, 0):
		return blocks.Value{}, fmt.Errorf("%q is beyond a float64", text)
	}
	return blocks.Text(string(cell)), nil
}
