package httpapi

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// queryNDJSON answers one point a line, as `flotilla write --format ndjson`
// reads it. A read that breaks off ends with a line {"error":{...}}.
func (h *Handler) queryNDJSON(r *http.Request, q gateway.Query, out *output) error {
	out.media = mediaNDJSON
	err := h.g.Query(r.Context(), q, func(device string, c *blocks.Columns) error {
		for row := range c.Len() {
			out.text(`{"id":`)
			out.quoted(device)
			out.text(`,"time":`)
			out.time(c.Times[row])
			for name, v := range c.Row(row) {
				out.text(",")
				out.quoted(lineproto.EscapeField(name))
				out.text(":")
				out.value(v)
			}
			out.text("}\n")
			if err := out.room(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && out.begun {
		if b, marshal := json.Marshal(map[string]any{"error": api.AsError(err).Problem}); marshal == nil {
			out.text(string(b) + "\n")
			err = errors.Join(err, out.flush())
		}
	}
	return err
}

// csvHeldBytes is how much of a CSV answer is held to learn its columns.
const csvHeldBytes = 8 << 20

// errHeldEnough ends the first reading of a CSV answer that is too large to
// be held.
var errHeldEnough = errors.New("more than can be held")

// queryCSV answers a header id,time,<fields> and a row a point. The columns
// are those that the query names, or those that the answer has: a large
// answer is read once for its columns and once for its rows.
func (h *Handler) queryCSV(r *http.Request, q gateway.Query, out *output) error {
	out.media = mediaCSV + "; charset=utf-8"
	if len(q.Fields) > 0 {
		return h.streamCSV(r, q, out)
	}
	var held []struct {
		device string
		c      *blocks.Columns
	}
	var chunks []*blocks.Columns
	size := 0
	err := h.g.Query(r.Context(), q, func(device string, c *blocks.Columns) error {
		if size += c.Len() * (16 + 16*len(c.Cols)); size > csvHeldBytes {
			return errHeldEnough
		}
		chunks = append(chunks, c)
		held = append(held, struct {
			device string
			c      *blocks.Columns
		}{device, c})
		return nil
	})
	if errors.Is(err, errHeldEnough) {
		held, chunks = nil, nil
		if q.Fields, err = h.columns(r, q); err != nil {
			return err
		}
		return h.streamCSV(r, q, out)
	}
	if err != nil {
		return err
	}
	rows := newCSVRows(out, fieldNames(chunks))
	for _, k := range held {
		if err := rows.write(k.device, k.c); err != nil {
			return err
		}
	}
	return nil
}

// columns reads the answer for the names of its fields.
func (h *Handler) columns(r *http.Request, q gateway.Query) ([]string, error) {
	seen := map[string]bool{}
	err := h.g.Query(r.Context(), q, func(_ string, c *blocks.Columns) error {
		for i := range c.Cols {
			seen[c.Cols[i].Name] = true
		}
		return nil
	})
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, err
}

func (h *Handler) streamCSV(r *http.Request, q gateway.Query, out *output) error {
	rows := newCSVRows(out, q.Fields)
	return h.g.Query(r.Context(), q, rows.write)
}

// csvRows writes rows under a fixed header.
type csvRows struct {
	out    *output
	w      *csv.Writer
	fields []string
	record []string
}

// Write takes what csv.Writer wrote.
func (o *output) Write(b []byte) (int, error) {
	o.buf = append(o.buf, b...)
	return len(b), nil
}

func newCSVRows(out *output, fields []string) *csvRows {
	rows := &csvRows{out: out, w: csv.NewWriter(out), fields: fields}
	header := []string{"id", "time"}
	for _, name := range fields { // a field called id must not be taken for the device
		header = append(header, lineproto.EscapeField(name))
	}
	_ = rows.w.Write(header) // goes to memory
	rows.w.Flush()
	return rows
}

func (rows *csvRows) write(device string, c *blocks.Columns) error {
	cols := make([][]*blocks.Column, len(rows.fields))
	for i, name := range rows.fields {
		cols[i] = named(c, name)
	}
	for row := range c.Len() {
		rows.record = append(rows.record[:0], device, api.FormatTime(c.Times[row]))
		for i := range cols {
			text := ""
			if v, ok := rowValue(cols[i], row); ok {
				text = v.String()
			}
			rows.record = append(rows.record, text)
		}
		if err := rows.w.Write(rows.record); err != nil {
			return err
		}
		rows.w.Flush()
		if err := rows.out.room(); err != nil {
			return err
		}
	}
	return nil
}
