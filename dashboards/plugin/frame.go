package main

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"github.com/weir-project/weir/dashboards/query"
)

// fieldType is what a column becomes: a time, a number, a truth or a text, each of which
// may be missing.
func fieldType(t reflect.Type) data.FieldType {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return data.FieldTypeNullableTime
	case t.Kind() == reflect.Bool:
		return data.FieldTypeNullableBool
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return data.FieldTypeNullableFloat64
	}
	return data.FieldTypeNullableString
}

// cell is one value, from where clickhouse-go scanned it to.
func cell(kind data.FieldType, scanned any) any {
	v := reflect.ValueOf(scanned).Elem()
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	missing := v.Kind() == reflect.Pointer
	switch kind {
	case data.FieldTypeNullableTime:
		if t, ok := v.Interface().(time.Time); ok && !missing {
			t = t.UTC()
			return &t
		}
		return (*time.Time)(nil)
	case data.FieldTypeNullableBool:
		if missing {
			return (*bool)(nil)
		}
		b := v.Bool()
		return &b
	case data.FieldTypeNullableFloat64:
		if missing {
			return (*float64)(nil)
		}
		return number(v)
	}
	if missing {
		return (*string)(nil)
	}
	s := text(v.Interface())
	return &s
}

// number is missing where it is none.
func number(v reflect.Value) *float64 {
	var f float64
	switch {
	case v.CanInt():
		f = float64(v.Int())
	case v.CanUint():
		f = float64(v.Uint())
	default:
		f = v.Float()
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

// text is any value as a person reads it: what is no UTF-8 or does not print is replaced,
// for Grafana sends frames on as JSON and shows them as they are.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return clean(v)
	case []byte:
		return clean(string(v))
	case fmt.Stringer:
		return clean(strings.TrimPrefix(v.String(), "::ffff:"))
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
		parts := make([]string, list.Len())
		for i := range parts {
			parts[i] = text(list.Index(i).Interface())
		}
		return strings.Join(parts, ", ")
	}
	if b, err := json.Marshal(v); err == nil {
		return clean(string(b))
	}
	return clean(fmt.Sprint(v))
}

// maxCell bounds a text, in bytes.
const maxCell = 4096

func clean(s string) string {
	if len(s) > maxCell {
		s = s[:maxCell] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20, r >= 0x7F && r < 0xA0, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0x200E, r == 0x200F, r == 0xFEFF:
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// dress gives columns their units and titles, the same wherever they stand.
func dress(frame *data.Frame, q *query.Query) {
	columns := query.Columns()
	for _, f := range frame.Fields {
		// A column that was renamed so as not to meet the table's own.
		f.Name = strings.TrimSuffix(f.Name, "_")
		c, known := columns[f.Name]
		config := &data.FieldConfig{}
		if known && f.Type() != data.FieldTypeNullableString {
			config.Unit = c.Unit
		}
		if known && c.Title != "" {
			config.DisplayNameFromDS = c.Title
		}
		if known {
			config.Description = c.About
		}
		if unit, ok := query.NumberUnit(q.Kind, f.Name); ok {
			config.Unit = unit
		}
		if column, cell := strings.CutPrefix(f.Name, "b"); cell && q.By == "map" {
			config.Unit, config.DisplayNameFromDS, config.Description = "short", "+"+column, "Requests from that /8: the row's first and this many."
		}
		f.SetConfig(config)
	}
}

// wide makes one series a column of rows that name their series: time first, then texts,
// then numbers. Series come in the order of their names.
func wide(long *data.Frame) *data.Frame {
	if len(long.Fields) == 0 { // over HTTP nothing is said of the columns where there is no row
		return data.NewFrame("", data.NewField("time", nil, []*time.Time{}))
	}
	type key struct{ labels, name string }
	var texts, numbers []*data.Field
	for _, f := range long.Fields[1:] {
		if f.Type() == data.FieldTypeNullableString {
			texts = append(texts, f)
		} else {
			numbers = append(numbers, f)
		}
	}
	times := data.NewFieldFromFieldType(data.FieldTypeNullableTime, 0)
	times.Name = "time"
	series := map[key]*data.Field{}
	var order []key
	for row := range long.Rows() {
		at := long.Fields[0].At(row)
		if times.Len() == 0 || !sameTime(times.At(times.Len()-1), at) {
			times.Append(at)
			for _, f := range series {
				f.Extend(1)
			}
		}
		labels := data.Labels{}
		for _, f := range texts {
			if s, ok := f.At(row).(*string); ok && s != nil {
				labels[f.Name] = *s
			}
		}
		for _, f := range numbers {
			k := key{labels.String(), f.Name}
			column := series[k]
			if column == nil {
				column = data.NewFieldFromFieldType(data.FieldTypeNullableFloat64, times.Len())
				column.Name, column.Labels = f.Name, labels
				series[k] = column
				order = append(order, k)
			}
			column.Set(times.Len()-1, f.At(row))
		}
	}
	slices.SortFunc(order, func(a, b key) int {
		if c := strings.Compare(a.labels, b.labels); c != 0 {
			return c
		}
		return strings.Compare(b.name, a.name) // value before normal
	})
	out := data.NewFrame("", times)
	for _, k := range order {
		out.Fields = append(out.Fields, series[k])
	}
	return out
}

// known leaves out the series that have no value at all: a process does not have every number.
func known(frame *data.Frame) {
	frame.Fields = slices.DeleteFunc(frame.Fields, func(f *data.Field) bool {
		for i := range f.Len() {
			if _, ok := f.ConcreteAt(i); ok {
				return false
			}
		}
		return f.Labels != nil
	})
}

func sameTime(a, b any) bool {
	x, _ := a.(*time.Time)
	y, _ := b.(*time.Time)
	return x != nil && y != nil && x.Equal(*y)
}

// nameSeries gives each series the name that a legend shows.
func nameSeries(frame *data.Frame, q *query.Query) {
	for _, f := range frame.Fields {
		if f.Config == nil {
			f.Config = &data.FieldConfig{}
		}
		switch {
		case q.Kind == query.Signals && f.Labels != nil:
			f.Config.Unit = query.SignalUnit(f.Labels["name"])
			f.Config.DisplayNameFromDS = seriesName(f.Labels["site"], strings.ReplaceAll(f.Labels["name"], "_", " "), f.Name == "normal", len(q.Signals) > 1)
		case q.Kind == query.Traffic && q.By == "site" && f.Labels != nil:
			f.Config.DisplayNameFromDS = f.Labels["site"]
		case q.Kind == query.Effect && f.Labels != nil:
			f.Config.DisplayNameFromDS = f.Labels["action"]
		case q.Kind == query.Figures && f.Labels != nil:
			f.Config.DisplayNameFromDS = strings.TrimSpace(f.Labels["process"] + " " + f.Labels["part"])
			if len(q.Columns) > 1 {
				f.Config.DisplayNameFromDS += " " + strings.ReplaceAll(f.Name, "_", " ")
			}
		case q.Kind == query.Vitals && f.Labels != nil:
			f.Config.DisplayNameFromDS = f.Labels["edge"]
			if len(q.Columns) > 1 {
				f.Config.DisplayNameFromDS += " " + strings.ReplaceAll(f.Name, "_", " ")
			}
		}
	}
}

func seriesName(site, signal string, normal, several bool) string {
	name := site
	if several {
		name += " " + signal
	}
	if normal {
		name += ", normally"
	}
	return name
}
