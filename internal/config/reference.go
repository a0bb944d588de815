package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Reference is docs/configuration.md: every key with its kind, its default and
// what it is for, read off the Config itself.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Written by "make generate" from internal/config. Change it there. -->

weir needs no configuration file: every key has a default. Where there is one, it
is YAML, strictly read: an unknown key, a wrong unit or a value that cannot work
is an error that names the line, before anything starts. ` + "`weir check`" + ` says
whether a file holds.

Durations have units: ` + "`500ms`, `2s`, `10m`, `1h30m`, `30d`" + `. So do sizes,
` + "`512MiB`, `4GiB`" + `, and percentages, ` + "`0.5%`" + `.

## All keys

| key | kind | default | |
|---|---|---|---|
`)
	defaults := Default()
	rows(&b, reflect.ValueOf(defaults), "")
	b.WriteString("\n## The defaults as a file\n\n```yaml\n")
	example(&b, reflect.ValueOf(defaults), "")
	b.WriteString("```\n")
	return []byte(b.String())
}

func rows(b *strings.Builder, v reflect.Value, prefix string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := prefix + field.Tag.Get("yaml")
		value := v.Field(i)
		standard := field.Tag.Get("default")
		if standard == "" {
			standard = "`" + defaultText(value) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, kindName(value.Type()), standard, code(field.Tag.Get("doc")))
		switch value.Type() {
		case reflect.TypeFor[map[string]Site]():
			rows(b, reflect.ValueOf(Site{}), key+".NAME.")
		case reflect.TypeFor[[]Source]():
			rows(b, reflect.ValueOf(defaultSource()), key+"[].")
		case reflect.TypeFor[map[string]Channel]():
			rows(b, reflect.ValueOf(defaultChannel()), key+".NAME.")
		case reflect.TypeFor[[]Route]():
			rows(b, reflect.ValueOf(defaultRoute()), key+"[].")
		case reflect.TypeFor[[]Component]():
			rows(b, reflect.ValueOf(Component{}), key+"[].")
		default:
			if value.Kind() == reflect.Struct {
				rows(b, value, key+".")
			}
		}
	}
}

// example writes the defaults as YAML that Parse reads.
func example(b *strings.Builder, v reflect.Value, indent string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := field.Tag.Get("yaml")
		if v.Field(i).Kind() == reflect.Struct {
			fmt.Fprintf(b, "%s%s:\n", indent, key)
			example(b, v.Field(i), indent+"  ")
			continue
		}
		comment := ""
		text := defaultText(v.Field(i))
		if standard := field.Tag.Get("default"); standard != "" {
			text, comment = "", " # "+standard
		}
		fmt.Fprintf(b, "%s%s:%s%s\n", indent, key, strings.TrimRight(" "+text, " "), comment)
	}
}

func kindName(t reflect.Type) string {
	names := map[reflect.Type]string{
		reflect.TypeFor[time.Duration]():      "duration",
		reflect.TypeFor[Size]():               "size",
		reflect.TypeFor[Share]():              "percentage",
		reflect.TypeFor[Mode]():               "mode",
		reflect.TypeFor[string]():             "text",
		reflect.TypeFor[int]():                "number",
		reflect.TypeFor[[]string]():           "list of words",
		reflect.TypeFor[[]int]():              "list of numbers",
		reflect.TypeFor[[]netip.Prefix]():     "list of addresses and prefixes",
		reflect.TypeFor[[]Source]():           "list",
		reflect.TypeFor[map[string]Site]():    "by name",
		reflect.TypeFor[map[string]Channel](): "by name",
		reflect.TypeFor[[]Route]():            "list",
		reflect.TypeFor[[]Component]():        "list",
		reflect.TypeFor[Secret]():             "secret",
	}
	return cmp.Or(names[t], "keys")
}

func defaultText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case []string:
		return "[" + strings.Join(x, ", ") + "]"
	case []int:
		return strings.Join(strings.Fields(fmt.Sprint(x)), ", ")
	case string:
		if x == "" {
			return `""`
		}
		return x
	case Secret:
		return `""` // a default is none
	}
	switch v.Kind() {
	case reflect.Slice:
		return "[]"
	case reflect.Map, reflect.Struct:
		return "{}"
	}
	return fmt.Sprint(v.Interface())
}

// code turns 'quoted' words into `code`.
func code(doc string) string {
	out, inside, before := []byte(doc), false, byte(' ')
	for i, c := range out {
		letter := before >= 'a' && before <= 'z' || before >= 'A' && before <= 'Z'
		if c == '\'' && (inside || !letter) { // else it is an apostrophe
			out[i], inside = '`', !inside
		}
		before = c
	}
	return string(out)
}
