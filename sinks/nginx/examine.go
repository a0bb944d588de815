package nginx

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Finding is something that a configuration lacks, or has and should not.
type Finding struct {
	Where string // "file:line", as nginx -T names them
	What  string
	Mend  string
	// Open says that weir enforces nothing there, or not what it should, as long as it is so.
	Open bool
}

// Examine reads what nginx -T prints, the whole of the running configuration, as [Dump] has
// it, and says what weir misses in it; dir is weir's directory.
func Examine(dump []byte, dir string) ([]Finding, error) {
	all, err := parseDump(string(dump))
	if err != nil {
		return nil, err
	}
	x := examination{http: filepath.Join(dir, HTTPName), server: filepath.Join(dir, ServerName)}
	x.main(all)
	return x.found, nil
}

// directive is one of a configuration, with those in its braces.
type directive struct {
	words []string
	where string
	block []directive
	open  bool // it has braces
}

func (d *directive) is(name string) bool { return d.words[0] == name }

// examination collects findings.
type examination struct {
	http, server string // paths of the snippets
	found        []Finding
}

func (x *examination) say(open bool, where, mend, format string, args ...any) {
	x.found = append(x.found, Finding{Where: where, What: fmt.Sprintf(format, args...), Mend: mend, Open: open})
}

func (x *examination) main(all []directive) {
	shutdown, seen := false, false
	for i := range all {
		d := &all[i]
		shutdown = shutdown || d.is("worker_shutdown_timeout")
		if d.is("http") {
			seen = true
			x.inHTTP(d)
		}
	}
	if !seen {
		x.say(true, "", "", "there is no http { }: is it the right nginx?")
	}
	if !shutdown {
		x.say(false, "main", "worker_shutdown_timeout 60s;", "worker_shutdown_timeout is not set: every reload leaves old workers until their last download or websocket ends")
	}
}

// inHTTP looks at http { }.
func (x *examination) inHTTP(d *directive) {
	included, logged := false, loggedTo(d.block)
	for i := range d.block {
		one := &d.block[i]
		switch {
		case x.includes(one, x.http):
			included = true
		case one.is("server"):
			if !included {
				included = slices.ContainsFunc(d.block, func(o directive) bool { return x.includes(&o, x.http) })
				if included {
					x.say(true, one.where, "move it before the first server", "a server stands before include %s", x.http)
				}
			}
			x.inServer(one, logged)
		case one.is("set_real_ip_from") && len(one.words) > 1 && (one.words[1] == "0.0.0.0/0" || one.words[1] == "::/0"):
			x.say(true, one.where, "name the proxies' own networks", "everybody may say who he is: set_real_ip_from %s", one.words[1])
		}
	}
	if !included {
		x.say(true, d.where, "include "+x.http+";", "http { } lacks weir's snippet")
	}
}

// loggedTo reports whether a log of the format weir is written.
func loggedTo(block []directive) bool {
	return slices.ContainsFunc(block, func(d directive) bool {
		return d.is("access_log") && len(d.words) > 2 && d.words[2] == "weir"
	})
}

// inServer looks at one server { }.
func (x *examination) inServer(d *directive, logged bool) {
	name, early, included := "(no name)", "", false
	for i := range d.block {
		one := &d.block[i]
		switch {
		case one.is("server_name") && len(one.words) > 1:
			name = strings.Join(one.words[1:], " ")
		case x.includes(one, x.server):
			included = true
		case !included && (one.is("return") || one.is("rewrite") || one.is("if")) && !strings.HasPrefix(one.where, x.server+":"):
			if early == "" {
				early = one.where
			}
		}
	}
	if redirects(d.block) {
		return // it answers with another address and has nothing to protect
	}
	switch {
	case !included:
		x.say(true, d.where, "include "+x.server+";", "server %s lacks weir's snippet: it is logged, and nothing is enforced there", name)
	case early != "":
		x.say(true, early, "move it behind the include", "server %s answers before weir's snippet is looked at", name)
	}
	own := slices.ContainsFunc(d.block, func(o directive) bool { return o.is("access_log") })
	if own && !loggedTo(d.block) || !own && !logged {
		x.say(false, d.where, "access_log /var/log/nginx/weir.log weir;", "server %s is not logged in the format weir: traits that only it carries are unknown there", name)
	}
}

// redirects reports whether all that a server does is to name another address.
func redirects(block []directive) bool {
	found := false
	for i := range block {
		switch d := &block[i]; {
		case d.is("return") && len(d.words) > 1 && (strings.HasPrefix(d.words[1], "30") || strings.HasPrefix(d.words[1], "http") || d.words[1] == "444"):
			found = true
		case d.open:
			return false
		}
	}
	return found
}

// includes reports whether a directive includes a file, by its name or a pattern.
func (x *examination) includes(d *directive, path string) bool {
	if !d.is("include") || len(d.words) < 2 {
		return false
	}
	matched, err := filepath.Match(d.words[1], path)
	return d.words[1] == path || err == nil && matched
}

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
