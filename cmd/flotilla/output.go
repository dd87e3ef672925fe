package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
	"go.yaml.in/yaml/v3"
)

// The output formats of -o.
const (
	outputTable = "table"
	outputWide  = "wide"
	outputJSON  = "json"
	outputYAML  = "yaml"
	outputCSV   = "csv"
	outputName  = "name"
)

var outputFormats = []string{outputTable, outputWide, outputJSON, outputYAML, outputCSV, outputName}

// column is one column of a table: its heading, and whether only -o wide shows it.
type column struct {
	heading string
	wide    bool
	right   bool // numbers
}

// table is what -o table, wide and name print. The first cell of a row is its name.
type table struct {
	columns []column
	rows    [][]string
	verdict string // last line of table and wide
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// printer writes results in the format that the user chose. Nothing else writes to stdout.
type printer struct {
	w      io.Writer
	format string
	colour bool
}

// print writes a result: body is the API's answer, untouched in JSON; the table is made only where it is needed.
func (p printer) print(body []byte, build func() (*table, error)) error {
	switch p.format {
	case outputJSON:
		return p.json(body)
	case outputYAML:
		return p.yaml(body)
	case outputCSV:
		return p.csv(body)
	}
	t, err := build()
	if err != nil {
		return err
	}
	if p.format == outputName {
		for _, row := range t.rows {
			if _, err := fmt.Fprintln(p.w, row[0]); err != nil {
				return err
			}
		}
		return nil
	}
	return p.table(t)
}

func (p printer) json(body []byte) error {
	if len(body) > 0 && body[len(body)-1] != '\n' {
		body = append(body[:len(body):len(body)], '\n')
	}
	_, err := p.w.Write(body)
	return err
}

// yaml prints the same object in the same order: JSON is YAML, so the body is read as YAML and written in blocks.
func (p printer) yaml(body []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("answer is not JSON: %w", err)
	}
	toBlocks(&document)
	encoder := yaml.NewEncoder(p.w)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return err
	}
	return encoder.Close()
}

func toBlocks(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, child := range n.Content {
		toBlocks(child)
	}
}

// table aligns by display width: device ids are not always Latin.
func (p printer) table(t *table) error {
	var shown []int
	for i, c := range t.columns {
		if !c.wide || p.format == outputWide {
			shown = append(shown, i)
		}
	}
	widths := make([]int, len(t.columns))
	for _, i := range shown {
		widths[i] = runewidth.StringWidth(t.columns[i].heading)
		for _, row := range t.rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i]))
		}
	}
	var b strings.Builder
	headings := make([]string, len(t.columns))
	for i, c := range t.columns {
		headings[i] = c.heading
	}
	if len(t.rows) > 0 {
		p.line(&b, t.columns, headings, shown, widths)
	}
	for _, row := range t.rows {
		p.line(&b, t.columns, row, shown, widths)
	}
	if t.verdict != "" {
		b.WriteString(t.verdict + "\n")
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}

func (p printer) line(b *strings.Builder, columns []column, cells []string, shown, widths []int) {
	var line strings.Builder
	for n, i := range shown {
		if n > 0 {
			line.WriteString("  ")
		}
		pad := strings.Repeat(" ", widths[i]-runewidth.StringWidth(cells[i]))
		if columns[i].right {
			line.WriteString(pad + p.paint(cells[i]))
		} else {
			line.WriteString(p.paint(cells[i]) + pad)
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// colourOf maps the words of states to ANSI colours: green, yellow, red.
var colourOf = map[string]string{
	"up": "32", "ready": "32", "active": "32", "done": "32", "healthy": "32",
	"suspect": "33", "syncing": "33", "rebalancing": "33", "draining": "33", "drained": "33", "running": "33", "queued": "33", "stalled": "33",
	"down": "31", "offline": "31", "disputed": "31", "quarantined": "31", "failed": "31", "none": "31",
}

func (p printer) paint(cell string) string {
	code, ok := colourOf[cell]
	if !p.colour || !ok {
		return cell
	}
	return "\x1b[" + code + "m" + cell + "\x1b[0m"
}
