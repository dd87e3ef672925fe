package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// sampleRows is how many rows of an answer decide how wide its columns are; the rest is printed as it comes.
const sampleRows = 1000

// maxCells bounds what a row may hold, above every limit of a node: an answer is not checked again.
const maxCells = 1 << 20

// points prints an NDJSON answer as a table (id, time, and a column of each field), or the ids that it has.
func (p printer) points(answer io.Reader) error {
	body := &pointLines{r: bufio.NewReaderSize(answer, 64<<10)}
	in, err := lineproto.Open(body, lineproto.Options{Format: lineproto.FormatNDJSON, Database: "answer", Collection: "answer",
		Limits: storage.Limits{FieldsPerPoint: maxCells, StringBytes: lineproto.MaxLineBytes}})
	if err != nil {
		return err
	}
	rows := &pointRows{p: p, l: newLayout(p.w, p.colour, []column{{heading: "id"}, {heading: "time"}}), place: map[string]int{}}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(rows.broken(), fmt.Errorf("the answer broke off after %s: %w", counted(rows.count, "point"), err))
		}
		if err := rows.add(&record.Point); err != nil {
			return err
		}
	}
	if body.problem != nil {
		return errors.Join(rows.broken(), body.failure())
	}
	return rows.end()
}

// pointRows turns points into rows.
type pointRows struct {
	p       printer
	l       *layout
	sample  []storage.Point
	place   map[string]int // column of each field
	device  cell
	id      string
	count   int
	devices int
}

func (r *pointRows) add(p *storage.Point) error {
	r.count++
	if r.devices == 0 || p.Device != r.id {
		r.devices++
		r.id, r.device = p.Device, newCell(p.Device)
		if r.p.format == outputName {
			return r.p.name(p.Device)
		}
	}
	switch {
	case r.p.format == outputName:
		return nil
	case !r.l.fixed && len(r.sample) < sampleRows:
		r.sample = append(r.sample, *p)
		return nil
	case !r.l.fixed:
		if err := r.fix(); err != nil {
			return err
		}
	}
	return r.row(p, r.device)
}

// fix prints the sample: its fields are the columns, sorted.
func (r *pointRows) fix() error {
	var names []string
	for i := range r.sample {
		for _, f := range r.sample[i].Fields {
			if _, known := r.place[f.Name]; !known {
				r.place[f.Name] = 0
				names = append(names, f.Name)
			}
		}
	}
	for _, name := range sorted(names) {
		r.addColumn(name)
	}
	for i := range r.sample {
		if err := r.row(&r.sample[i], newCell(r.sample[i].Device)); err != nil {
			return err
		}
	}
	r.sample = nil
	return r.l.fix()
}

func (r *pointRows) addColumn(name string) {
	r.place[name] = len(r.l.columns)
	r.l.addColumn(column{heading: name, right: true})
}

// row prints a point. A field that no row before it had brings a column, and the headings again.
func (r *pointRows) row(p *storage.Point, device cell) error {
	before := len(r.l.columns)
	for _, f := range p.Fields {
		if _, known := r.place[f.Name]; !known {
			r.addColumn(f.Name)
		}
	}
	if len(r.l.columns) > before {
		if err := r.l.head(); err != nil {
			return err
		}
	}
	row := slices.Repeat([]cell{{absent, len(absent)}}, len(r.l.columns))
	row[0], row[1] = device, newCell(api.FormatTime(p.Time))
	for _, f := range p.Fields {
		row[r.place[f.Name]] = newCell(valueCell(f.Value))
	}
	return r.l.add(row)
}

// broken prints what there is of an answer that broke off.
func (r *pointRows) broken() error { return r.finish("") }

func (r *pointRows) end() error {
	return r.finish(fmt.Sprintf("%s of %s", counted(r.count, "point"), counted(r.devices, "device")))
}

func (r *pointRows) finish(last string) error {
	if r.p.format == outputName {
		return nil
	}
	if !r.l.fixed {
		if err := r.fix(); err != nil {
			return err
		}
	}
	return r.l.close(last)
}

// valueCell prints a value without its type: 5, true, text.
func valueCell(v blocks.Value) string {
	if v.Kind != blocks.Float64 {
		return v.String()
	}
	f := v.Float64()
	if abs := max(f, -f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// pointLines passes the lines of an NDJSON answer on up to the one that says why it broke off.
type pointLines struct {
	r       *bufio.Reader
	inLine  bool
	problem []byte
}

// problemLine is how a line begins that is no point: points begin with their id.
const problemLine = `{"error":`

func (l *pointLines) Read(b []byte) (int, error) {
	if l.problem != nil {
		return 0, io.EOF
	}
	if !l.inLine {
		if begin, _ := l.r.Peek(len(problemLine)); string(begin) == problemLine {
			// The node breaks the connection behind this line.
			l.problem, _ = l.r.ReadBytes('\n')
			return 0, io.EOF
		}
	}
	n := max(1, min(l.r.Buffered(), len(b)))
	chunk, err := l.r.Peek(n)
	if len(chunk) == 0 {
		return 0, err
	}
	if end := bytes.IndexByte(chunk, '\n'); end >= 0 {
		chunk = chunk[:end+1]
	}
	l.inLine = chunk[len(chunk)-1] != '\n'
	n = copy(b, chunk)
	_, err = l.r.Discard(n)
	return n, err
}

// failure is the error that the node told.
func (l *pointLines) failure() error {
	var told struct {
		Error api.Error `json:"error"`
	}
	if err := json.Unmarshal(l.problem, &told); err != nil || told.Error.Code == "" {
		return fmt.Errorf("the answer broke off: %.200s", strings.TrimSpace(string(l.problem)))
	}
	return &told.Error
}
