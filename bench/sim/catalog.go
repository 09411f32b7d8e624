package sim

import (
	"embed"
	"fmt"
	"os"
	"path"
	"strings"
)

//go:embed scenarios/*.json
var catalog embed.FS

// Scenarios returns the scenarios that come with the laboratory, by name.
func Scenarios() ([]*Scenario, error) {
	files, err := catalog.ReadDir("scenarios")
	if err != nil {
		return nil, err
	}
	var all []*Scenario
	for _, f := range files {
		s, err := Load(strings.TrimSuffix(f.Name(), ".json"))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Load returns a scenario that comes with the laboratory by its name, or reads
// one from the file of that name.
func Load(name string) (*Scenario, error) {
	raw, err := catalog.ReadFile(path.Join("scenarios", name+".json"))
	if err != nil {
		if raw, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("%w: none is called %q, and it is no file", ErrScenario, name)
		}
	}
	return Parse(raw)
}
