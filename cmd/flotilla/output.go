package main

import (
	"fmt"
	"io"

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

// table is what -o table, wide and name print. The first cell of a row is its name.
type table struct {
	columns []column
	rows    [][]string
	verdict string // last line of table and wide
}

// orNone has an empty table say so: nothing at all looks like a failure.
func (t *table) orNone(what string) *table {
	if len(t.rows) == 0 {
		t.verdict = "no " + what
	}
	return t
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
		if t.columns == nil && t.verdict != "" { // nothing in it has a name
			return p.name(t.verdict)
		}
		for i, row := range t.rows {
			if i > 0 && row[0] == t.rows[i-1][0] {
				continue // a group of several findings is named once
			}
			if err := p.name(row[0]); err != nil {
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

// table lays a whole table out: the widths fit all of its rows.
func (p printer) table(t *table) error {
	var shown []int
	var columns []column
	for i, c := range t.columns {
		if !c.wide || p.format == outputWide {
			shown, columns = append(shown, i), append(columns, c)
		}
	}
	l := newLayout(p.w, p.colour, columns)
	for _, row := range t.rows {
		cells := make([]cell, len(shown))
		for n, i := range shown {
			cells[n] = newCell(row[i])
			if most := t.columns[i].most; most > 0 && p.format != outputWide {
				cells[n] = cells[n].cut(most)
			}
		}
		if err := l.add(cells); err != nil {
			return err
		}
	}
	return l.close(t.verdict)
}

// name prints a name for scripts as it is, and for eyes as a cell shows it.
func (p printer) name(name string) error {
	if isTerminal(p.w) {
		name = newCell(name).text
	}
	_, err := fmt.Fprintln(p.w, name)
	return err
}
