package nginx

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// directive is one of a configuration, with those in its braces.
type directive struct {
	words []string
	where string
	block []directive
	open  bool // it has braces
}

func (d *directive) is(name string) bool { return d.words[0] == name }

// parseDump reads the files that nginx -T prints one after the other. Includes stay what
// they are, but those of files that the dump has are put in their place: a server in
// sites-enabled is one of http { }.
func parseDump(dump string) ([]directive, error) {
	files := map[string][]directive{}
	main := ""
	parts := strings.Split("\n"+dump, "\n"+dumpMark)
	for _, part := range parts[1:] {
		head, text, _ := strings.Cut(part, "\n")
		name := strings.TrimSuffix(strings.TrimSpace(head), ":")
		if main == "" {
			main = name
		}
		p := parser{text: text, file: name, line: 1}
		block, err := p.block(0)
		if err != nil {
			return nil, err
		}
		files[name] = block
	}
	if main == "" {
		return nil, fmt.Errorf("this is not what nginx -T prints: there is no line %q", strings.TrimSpace(dumpMark)+" ...")
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return expand(files[main], files, names, filepath.Dir(main), 0), nil
}

// maxDepth bounds includes in includes, and braces in braces.
const maxDepth = 32

// expand puts included files behind the directives that include them.
func expand(block []directive, files map[string][]directive, names []string, dir string, depth int) []directive {
	if depth > maxDepth {
		return block
	}
	var all []directive
	for _, d := range block {
		d.block = expand(d.block, files, names, dir, depth+1)
		if !d.is("include") || len(d.words) < 2 {
			all = append(all, d)
			continue
		}
		pattern := d.words[1]
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		d.words = []string{"include", pattern}
		all = append(all, d)
		for _, name := range names {
			if matched, err := filepath.Match(pattern, name); err == nil && matched {
				all = append(all, expand(files[name], files, names, dir, depth+1)...)
			}
		}
	}
	return all
}

// parser reads nginx's language: words, ';', braces, quotes and comments.
type parser struct {
	text string
	file string
	line int
}

// block reads directives until the brace that closes them, or the end.
func (p *parser) block(depth int) (all []directive, err error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s:%d: more than %d braces in one another", p.file, p.line, maxDepth)
	}
	var d directive
	for {
		word, kind := p.next()
		switch kind {
		case 'w':
			if len(d.words) == 0 {
				d.where = fmt.Sprintf("%s:%d", p.file, p.line)
			}
			d.words = append(d.words, word)
		case ';', '{':
			if kind == '{' {
				if d.open = true; len(d.words) == 0 {
					return nil, fmt.Errorf("%s:%d: a brace without a directive", p.file, p.line)
				}
				if d.block, err = p.block(depth + 1); err != nil {
					return nil, err
				}
			}
			if len(d.words) > 0 {
				all = append(all, d)
			}
			d = directive{}
		default: // '}' or the end
			return all, nil
		}
	}
}

// next is the next word ('w'), ';', '{', '}', or 0 at the end.
func (p *parser) next() (word string, kind byte) {
	for p.text != "" {
		switch c := p.text[0]; c {
		case '\n':
			p.line++
			p.text = p.text[1:]
		case ' ', '\t', '\r':
			p.text = p.text[1:]
		case '#':
			end := strings.IndexByte(p.text, '\n')
			if end < 0 {
				end = len(p.text)
			}
			p.text = p.text[end:]
		case ';', '{', '}':
			p.text = p.text[1:]
			return "", c
		case '"', '\'':
			return p.quoted(c), 'w'
		default:
			return p.plain(), 'w'
		}
	}
	return "", 0
}

func (p *parser) quoted(quote byte) string {
	var b strings.Builder
	i := 1
	for ; i < len(p.text) && p.text[i] != quote; i++ {
		if p.text[i] == '\\' && i+1 < len(p.text) {
			i++
		}
		if p.text[i] == '\n' {
			p.line++
		}
		b.WriteByte(p.text[i])
	}
	p.text = p.text[min(i+1, len(p.text)):]
	return b.String()
}

func (p *parser) plain() string {
	i := 0
	for i < len(p.text) && !strings.ContainsRune(" \t\r\n;{}", rune(p.text[i])) || i < len(p.text) && p.text[i] == '{' && i > 0 && p.text[i-1] == '$' {
		if p.text[i] == '{' { // ${name}
			end := strings.IndexByte(p.text[i:], '}')
			if end < 0 {
				break
			}
			i += end
		}
		if p.text[i] == '\\' {
			i++
		}
		i++
	}
	i = min(i, len(p.text))
	word := p.text[:i]
	p.text = p.text[i:]
	return word
}
