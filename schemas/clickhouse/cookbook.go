package clickhouse

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

//go:embed cookbook/*.sql
var recipes embed.FS

// Recipe is a question that people have after an attack, as a query with places for
// what it is about, such as {incident}.
type Recipe struct {
	Name  string // such as "first-requests"
	About string // one line: the question
	SQL   string
}

// place is one of a recipe's.
var place = regexp.MustCompile(`\{[a-z]+\}`)

// Places are the names in braces that the query needs, each once.
func (r Recipe) Places() []string {
	var all []string
	for _, p := range place.FindAllString(r.SQL, -1) {
		if name := p[1 : len(p)-1]; !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// Fill puts expressions in the places; what an expression holds is not looked at again.
func (r Recipe) Fill(expressions map[string]string) (string, error) {
	var missing []string
	sql := place.ReplaceAllStringFunc(r.SQL, func(p string) string {
		text, ok := expressions[p[1:len(p)-1]]
		if !ok {
			missing = append(missing, p)
		}
		return text
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("@%s needs %s", r.Name, strings.Join(slices.Compact(missing), ", "))
	}
	return sql, nil
}

// Cookbook are all recipes, by name.
func Cookbook() ([]Recipe, error) {
	entries, err := recipes.ReadDir("cookbook") // sorted by name
	if err != nil {
		return nil, err
	}
	var all []Recipe
	for _, entry := range entries {
		text, err := recipes.ReadFile("cookbook/" + entry.Name())
		if err != nil {
			return nil, err
		}
		about, sql, ok := strings.Cut(string(text), "\n")
		if !ok || !strings.HasPrefix(about, "-- ") {
			return nil, fmt.Errorf("recipe %s: want its question as a comment in the first line", entry.Name())
		}
		all = append(all, Recipe{Name: strings.TrimSuffix(entry.Name(), ".sql"), About: about[3:], SQL: strings.TrimSpace(sql)})
	}
	return all, nil
}
