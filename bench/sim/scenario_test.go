package sim

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// Every scenario that comes along can be read, is called as its file is, and
// says what it is about.
func TestCatalog(t *testing.T) {
	t.Parallel()
	all, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Errorf("%d scenarios", len(all))
	}
	for _, s := range all {
		if again, err := Load(s.Name); err != nil || again.About == "" {
			t.Errorf("%s: %v, %+v", s.Name, err, again)
		}
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw); err != nil {
			t.Errorf("%s, written and read again: %v", s.Name, err)
		}
	}
}

func TestScenarioErrors(t *testing.T) {
	t.Parallel()
	good := `{"name":"x","people":[{"name":"a","count":2,"mode":"full"},{"name":"b","count":2,"mode":"light"}],"links":{"loss":0.1,"bandwidth":"64kbit"},` +
		`"contacts":[{"of":"a","with":"b","how":"pairs"}],"groups":[{"of":"a","count":1,"members":2}],"communities":[{"owner":"a0","members":"b","channels":2}],` +
		`"traffic":[{"from":"a0","to":"contacts","every":"1s"}],"faults":[{"kind":"crash","who":["b1"],"at":"1s","for":"1s"}],"for":"1m","settle":"1m","expect":{}}`
	s, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if s.Services != 1 || s.Links.Bandwidth.takes(8000) != time.Second || s.person(3) != "b1" || s.find("b1")[0] != 3 || len(s.find(Everybody)) != 4 {
		t.Errorf("%+v", s)
	}
	for name, change := range map[string][2]string{
		"no JSON":           {`{`, `[`},
		"unknown field":     {`"name":"x"`, `"nom":"x"`},
		"digit in a name":   {`"name":"a"`, `"name":"a1"`},
		"name of all":       {`"name":"a"`, `"name":"everybody"`},
		"unknown mode":      {`light`, `heavy`},
		"nobody":            {`"count":2,"mode":"full"`, `"count":0,"mode":"full"`},
		"too many":          {`"count":2,"mode":"full"`, `"count":2000,"mode":"full"`},
		"no probability":    {`0.1`, `1.1`},
		"negative duration": {`"for":"1m"`, `"for":"-1m"`},
		"no end":            {`"for":"1m"`, `"for":"0s"`},
		"bandwidth":         {`64kbit`, `64kB`},
		"unequal pairs":     {`"with":"b"`, `"with":"b0"`},
		"unknown contacts":  {`"how":"pairs"`, `"how":"some"`},
		"group too large":   {`"members":2`, `"members":3`},
		"two owners":        {`"owner":"a0"`, `"owner":"a"`},
		"no members":        {`"members":"b"`, `"members":"a0"`},
		"no channels":       {`"channels":2`, `"channels":0`},
		"traffic to nobody": {`"to":"contacts"`, `"to":"b"`},
		"unknown fault":     {`"kind":"crash"`, `"kind":"fire"`},
		"fault of nobody":   {`["b1"]`, `["b2"]`},
		"fault without end": {`"at":"1s","for":"1s"`, `"at":"1s"`},
	} {
		if _, err := Parse([]byte(strings.Replace(good, change[0], change[1], 1))); !errors.Is(err, ErrScenario) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	all, err := catalog.ReadDir("scenarios")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range all {
		raw, err := catalog.ReadFile("scenarios/" + file.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Parse(raw)
		if err != nil {
			return
		}
		// Whoever can be read can be planned.
		if s.size() > 100 {
			return
		}
		for n, others := range s.know() {
			for _, o := range others {
				if o == n || o < 0 || o >= s.size() {
					t.Errorf("%d meets %d", n, o)
				}
			}
		}
		for _, fault := range s.Faults {
			s.nodes(fault.Who)
		}
	})
}
