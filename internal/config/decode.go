package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder walks the file's syntax tree and a Config side by side, instead of
// leaving it to the YAML library, so that each error can name the key, its
// place, and what would be right.
type decoder struct {
	name     string
	places   map[string]place // of each key and item that stands in the file
	problems []problem
}

type place struct{ line, column int }

type problem struct {
	at   place
	text string
}

func (d *decoder) err() error {
	slices.SortStableFunc(d.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	var all []error
	for _, p := range d.problems {
		where := d.name
		if p.at.line > 0 {
			where = fmt.Sprintf("%s:%d:%d", d.name, p.at.line, p.at.column)
		}
		all = append(all, fmt.Errorf("%s: %s", where, p.text))
	}
	return errors.Join(all...)
}

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

func (d *decoder) complain(at place, path, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if path != "" {
		text = path + ": " + text
	}
	d.problems = append(d.problems, problem{at, text})
}

// wrong is for validation, which knows the key but not its place.
func (d *decoder) wrong(path, format string, a ...any) {
	d.complain(d.placeOf(path), path, format, a...)
}

// placeOf is the place of a key, or of the nearest one around it.
func (d *decoder) placeOf(path string) place {
	at, known := d.places[path]
	for up := path; !known && up != ""; at, known = d.places[up] {
		up = up[:max(strings.LastIndexAny(up, ".["), 0)]
	}
	return at
}

// maxNesting bounds how deep brackets and dashes may nest in a file: far more than any key
// needs, and few enough for the parser, whose time grows with the square of it.
const maxNesting = 1000

// nested counts brackets, and dashes that begin items within items, without regard to quotes
// and comments: of no true file do they come near maxNesting.
func nested(data []byte) (at place, tooDeep bool) {
	depth, dashes := 0, 0
	at = place{1, 0}
	for _, c := range data {
		at.column++
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '-':
			dashes++
		case ' ':
		case '\n':
			at = place{at.line + 1, 0}
			dashes = 0
		default:
			dashes = 0
		}
		if depth > maxNesting || dashes > maxNesting {
			return at, true
		}
	}
	return place{}, false
}

func (d *decoder) document(c *Config, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")) // some editors write a byte order mark
	if at, tooDeep := nested(data); tooDeep {
		d.complain(at, "", "not YAML that weir reads: over %d brackets or dashes within each other", maxNesting)
		return
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey()) // entries says it better
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			text, _, _ := strings.Cut(syntax.GetMessage(), "\n")
			if strings.Contains(text, "character '\t'") {
				text = "a tab: YAML indents by spaces"
			}
			d.complain(placeOf(syntax.GetToken()), "", "not YAML: %s", text)
			return
		}
		text, _, _ := strings.Cut(err.Error(), "\n")
		d.complain(place{1, 1}, "", "not YAML: %s", text)
		return
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) > 1:
		d.complain(placeOf(bodies[1].GetToken()), "", "a second document: want one")
	case len(bodies) == 1:
		d.value(bodies[0], reflect.ValueOf(c).Elem(), "")
	}
}

// value sets v from a node. An empty value leaves the default.
func (d *decoder) value(node ast.Node, v reflect.Value, path string) {
	if _, empty := node.(*ast.NullNode); empty {
		return
	}
	if _, comment := node.(*ast.CommentGroupNode); comment {
		return
	}
	switch v.Interface().(type) {
	case time.Duration, Size, Share, string, Mode, Secret, int:
		d.scalar(node, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(node, v, path)
	case reflect.Map:
		d.mapping(node, v, path)
	case reflect.Slice:
		d.list(node, v, path)
	default:
		panic("config: no way to read a " + v.Type().String())
	}
}

// entries are the keys and values of a mapping, or nil after a complaint.
func (d *decoder) entries(node ast.Node, path string) []*ast.MappingValueNode {
	var entries []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		d.complain(placeOf(node.GetToken()), path, "want keys and values, found %s", kind(node))
		return nil
	}
	seen := map[string]bool{}
	for _, e := range entries {
		key := e.Key.GetToken().Value
		if seen[key] {
			d.complain(placeOf(e.Key.GetToken()), join(path, key), "stands twice")
		}
		seen[key] = true
	}
	return entries
}

func (d *decoder) structure(node ast.Node, v reflect.Value, path string) {
	for _, e := range d.entries(node, path) {
		at := placeOf(e.Key.GetToken())
		key := e.Key.GetToken().Value
		if _, merge := e.Key.(*ast.MergeKeyNode); merge {
			d.complain(at, path, "anchors and merges are not read here: write it out")
			continue
		}
		field := fieldOf(v.Type(), key)
		if field < 0 {
			d.complain(at, join(path, key), "no such key; %s", suggestion(key, keysOf(v.Type())))
			continue
		}
		d.places[join(path, key)] = at
		d.value(e.Value, v.Field(field), join(path, key))
	}
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, path string) {
	entries := d.entries(node, path)
	v.Set(reflect.MakeMapWithSize(v.Type(), len(entries)))
	for _, e := range entries {
		key := e.Key.GetToken().Value
		d.places[join(path, key)] = placeOf(e.Key.GetToken())
		element := reflect.New(v.Type().Elem()).Elem()
		begin(element)
		d.value(e.Value, element, join(path, key))
		v.SetMapIndex(reflect.ValueOf(key), element)
	}
}

func (d *decoder) list(node ast.Node, v reflect.Value, path string) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.complain(placeOf(node.GetToken()), path, "want a list, found %s", kind(node))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(sequence.Values)))
	for i, item := range sequence.Values {
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		d.places[itemPath] = placeOf(item.GetToken())
		if v.Type().Elem() == reflect.TypeFor[netip.Prefix]() {
			if text, ok := d.text(item, itemPath, "an address or a prefix"); ok {
				prefix, err := parsePrefix(text)
				if err != nil {
					d.complain(placeOf(item.GetToken()), itemPath, "%v", err)
				}
				v.Set(reflect.Append(v, reflect.ValueOf(prefix)))
			}
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		begin(element)
		d.value(item, element, itemPath)
		v.Set(reflect.Append(v, element))
	}
}

// begin gives an item of a list or a mapping its defaults.
func begin(element reflect.Value) {
	switch item := element.Addr().Interface().(type) {
	case *Source:
		*item = defaultSource()
	case *Channel:
		*item = defaultChannel()
	case *Route:
		*item = defaultRoute()
	}
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, path string) {
	want := map[reflect.Type]string{
		reflect.TypeFor[time.Duration](): "a duration such as 10m",
		reflect.TypeFor[Size]():          "a size such as 512MiB",
		reflect.TypeFor[Share]():         "a percentage such as 0.5%",
		reflect.TypeFor[int]():           "a whole number",
	}[v.Type()]
	text, ok := d.text(node, path, cmp.Or(want, "a text"))
	if !ok {
		return
	}
	var err error
	switch v.Interface().(type) {
	case time.Duration:
		var x time.Duration
		x, err = parseDuration(text)
		v.SetInt(int64(x))
	case Size:
		var x Size
		x, err = parseSize(text)
		v.SetInt(int64(x))
	case Share:
		var x Share
		x, err = parseShare(text)
		v.SetFloat(float64(x))
	case int:
		var x int64
		if x, err = strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64); err != nil {
			err = fmt.Errorf("%q is not %s", text, want)
		}
		v.SetInt(x)
	default:
		v.SetString(text)
	}
	if err != nil {
		d.complain(placeOf(node.GetToken()), path, "%v", err)
	}
}

// text is a scalar as it stands in the file.
func (d *decoder) text(node ast.Node, path, want string) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	d.complain(placeOf(node.GetToken()), path, "want %s, found %s", want, kind(node))
	return "", false
}

func kind(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "an anchor, an alias or a tag, which are not read here: write it out"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return strconv.Quote(node.GetToken().Value) + " (in quotes it would be a text)"
	}
	return strconv.Quote(node.GetToken().Value)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}

func fieldOf(t reflect.Type, key string) int { return slices.Index(keysOf(t), key) }
