package httpapi

import (
	"net/http"
	"slices"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// maxSeriesValues bounds the times and values of one device in a JSON answer:
// its columns are written one after the other, so all of them are held. The
// streaming formats have no such bound.
const maxSeriesValues = 64 << 20

// queryJSON answers {"results":[{"id","times":[],"<field>":[]}]}.
func (h *Handler) queryJSON(r *http.Request, q gateway.Query, out *output) error {
	out.media = mediaJSON
	out.text(`{"results":[`)
	s := &jsonSeries{out: out}
	err := h.g.Query(r.Context(), q, func(device string, c *blocks.Columns) error {
		if device != s.device {
			if err := s.end(); err != nil {
				return err
			}
			s.device = device
		}
		return s.add(c)
	})
	if err == nil {
		err = s.end()
	}
	out.text("]}\n")
	return err
}

// jsonSeries gathers the rows of one device.
type jsonSeries struct {
	out    *output
	device string
	chunks []*blocks.Columns
	values int
	count  int // devices written
}

func (s *jsonSeries) add(c *blocks.Columns) error {
	s.chunks = append(s.chunks, c)
	if s.values += c.Len() * (1 + len(c.Cols)); s.values > maxSeriesValues {
		return api.E(api.ResultTooLarge, "ask with Accept: application/x-ndjson or text/csv, which stream, or for a shorter range",
			"device %q has too many points for one JSON answer", s.device)
	}
	return nil
}

// end writes the device that was gathered.
func (s *jsonSeries) end() error {
	if len(s.chunks) == 0 {
		return nil
	}
	if s.count++; s.count > 1 {
		s.out.text(",")
	}
	s.out.text(`{"id":`)
	s.out.quoted(s.device)
	s.out.text(`,"times":[`)
	if err := s.column(func(c *blocks.Columns, row int) { s.out.time(c.Times[row]) }); err != nil {
		return err
	}
	for _, name := range fieldNames(s.chunks) {
		s.out.text(`],`)
		s.out.quoted(lineproto.EscapeField(name))
		s.out.text(`:[`)
		var in *blocks.Columns
		var cols []*blocks.Column
		if err := s.column(func(c *blocks.Columns, row int) {
			if c != in {
				in, cols = c, named(c, name)
			}
			if v, ok := rowValue(cols, row); ok {
				s.out.value(v)
			} else {
				s.out.text("null")
			}
		}); err != nil {
			return err
		}
	}
	s.out.text("]}")
	s.chunks, s.values = nil, 0
	return s.out.room()
}

// column writes one array over all rows.
func (s *jsonSeries) column(write func(c *blocks.Columns, row int)) error {
	first := true
	for _, c := range s.chunks {
		for row := range c.Len() {
			if !first {
				s.out.text(",")
			}
			first = false
			write(c, row)
		}
		if err := s.out.room(); err != nil {
			return err
		}
	}
	return nil
}

// fieldNames lists the fields of some chunks, sorted.
func fieldNames(chunks []*blocks.Columns) []string {
	seen := map[string]bool{}
	var out []string
	for _, c := range chunks {
		for i := range c.Cols {
			if name := c.Cols[i].Name; !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func named(c *blocks.Columns, name string) []*blocks.Column {
	var out []*blocks.Column
	for i := range c.Cols {
		if c.Cols[i].Name == name {
			out = append(out, &c.Cols[i])
		}
	}
	return out
}
