package statuspage

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed texts/*.yml
var builtin embed.FS

// Texts are what the page says in one language. A key that a language does not have is
// read in English, which has all of them.
type Texts struct {
	Tag  string // BCP 47: "en", "de", "pt-BR"
	text map[string]string
}

// Get is the text of a key, with {name} replaced by the values, which come in pairs.
func (t Texts) Get(key string, pairs ...string) string {
	text := t.text[key]
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text
}

// list writes names as a language does: "a, b and c".
func (t Texts) list(names []string) string {
	n := len(names)
	if n < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:n-1], ", ") + t.text["and"] + names[n-1]
}

// Templates are the names of the templates for posts.
func (t Texts) Templates() []string {
	var names []string
	for key := range t.text {
		if name, ok := strings.CutPrefix(key, "template."); ok {
			if name, ok = strings.CutSuffix(name, ".text"); ok {
				names = append(names, name)
			}
		}
	}
	return slices.Sorted(slices.Values(names))
}

var (
	tagForm         = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	placeholderForm = regexp.MustCompile(`\{[^{}]*\}`)
	templateForm    = regexp.MustCompile(`^template\.[a-z0-9_]+\.(title|text)$`)
)

// Language loads a language: what weir brings, and over it the owner's folder, if any:
// TAG.yml in it may change any text, and add templates. Errors name file and key.
func Language(tag, folder string) (Texts, error) {
	t := Texts{Tag: tag}
	if !tagForm.MatchString(tag) || len(tag) > 35 {
		return t, fmt.Errorf("%q is no language tag such as en, de or pt-BR", tag)
	}
	english, err := readTexts(builtin, "texts/en.yml", "texts/en.yml")
	if err != nil {
		return t, err
	}
	t.text = maps.Clone(english)
	known := false
	for _, source := range []struct {
		files fs.FS
		name  string
		shown string
	}{{builtin, "texts/" + tag + ".yml", "texts/" + tag + ".yml"}, {os.DirFS(folder), tag + ".yml", filepath.Join(folder, tag+".yml")}} {
		if source.files != builtin && folder == "" {
			continue
		}
		texts, err := readTexts(source.files, source.name, source.shown)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = checkTexts(source.shown, texts, english)
		}
		if err != nil {
			return t, err
		}
		known = true
		maps.Copy(t.text, texts)
	}
	if !known {
		return t, fmt.Errorf("no texts for the language %q: put %s.yml into statuspage.texts, or take one of %s", tag, tag, strings.Join(Languages(), ", "))
	}
	return t, checkTemplates(t)
}

// Languages are those that weir brings.
func Languages() []string {
	entries, err := builtin.ReadDir("texts")
	if err != nil {
		panic(err) // it is in the program
	}
	var tags []string
	for _, e := range entries {
		tags = append(tags, strings.TrimSuffix(e.Name(), ".yml"))
	}
	return tags
}

// maxTexts bounds a file of texts, in bytes.
const maxTexts = 1 << 20

func readTexts(files fs.FS, name, shown string) (map[string]string, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	if len(data) > maxTexts {
		return nil, fmt.Errorf("%s is over %d bytes: is it the right file?", shown, maxTexts)
	}
	texts := make(map[string]string)
	if err := yaml.Unmarshal(data, &texts); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("%s: want keys and texts: %s", shown, first)
	}
	return texts, nil
}

// checkTexts refuses keys that nothing reads and placeholders that nothing fills.
func checkTexts(shown string, texts, english map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		reference, ok := english[key]
		if !ok && !templateForm.MatchString(key) {
			return fmt.Errorf("%s: no text is called %q; the keys are those of docs/statuspage.md, and template.NAME.title and .text", shown, key)
		}
		if !ok || strings.HasPrefix(key, "template.") {
			reference = "{affected} {since} {next} {from} {until}"
		}
		for _, placeholder := range placeholderForm.FindAllString(texts[key], -1) {
			if !strings.Contains(reference, placeholder) {
				return fmt.Errorf("%s: %s: nothing fills %s here; known are %s", shown, key, placeholder, strings.Join(placeholderForm.FindAllString(reference, -1), " "))
			}
		}
		most := MaxText / 2
		if strings.HasSuffix(key, ".title") {
			most = MaxTitle / 2 // names come in
		}
		if len(texts[key]) > most {
			return fmt.Errorf("%s: %s has %d bytes, at most %d", shown, key, len(texts[key]), most)
		}
	}
	return nil
}

func checkTemplates(t Texts) error {
	for _, name := range t.Templates() {
		if t.text["template."+name+".title"] == "" {
			return fmt.Errorf("language %s: template %s has a text and no title: give template.%s.title", t.Tag, name, name)
		}
	}
	return nil
}
