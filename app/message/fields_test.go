package message

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// fieldsFile lists every field and every number of an enumeration that was ever
// part of application messages.
var fieldsFile = filepath.Join("testdata", "fields.txt")

// A message keeps its fields, and a field its number, for ever: what is in the
// list may not go, change or be used for anything else. With -update what is
// new is added; nothing takes a line out but a person.
//
// Proves: AP-191.
func TestFieldsStay(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(fieldsFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	listed := strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' })
	described := describedFields()
	for _, line := range listed {
		if !slices.Contains(described, line) {
			t.Errorf("%q is gone or has another meaning", line)
		}
	}
	if *update {
		all := slices.Concat(listed, described)
		slices.Sort(all)
		if err := os.WriteFile(fieldsFile, []byte(strings.Join(slices.Compact(all), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range described {
		if !slices.Contains(listed, line) {
			t.Errorf("%q is new; go test ./app/message -run TestFieldsStay -update lists it", line)
		}
	}
	// Each number once.
	numbers := map[string]string{}
	for _, line := range listed {
		words := strings.Fields(line)
		if before, ok := numbers[words[0]+words[1]]; ok {
			t.Errorf("%q and %q are one number", before, line)
		}
		numbers[words[0]+words[1]] = line
	}
}

// describedFields describes the messages and enumerations of this version: name
// of the message, number, name of the field, type.
func describedFields() (all []string) {
	var messages func(protoreflect.MessageDescriptors)
	enums := func(list protoreflect.EnumDescriptors) {
		for i := range list.Len() {
			e := list.Get(i)
			for j := range e.Values().Len() {
				v := e.Values().Get(j)
				all = append(all, fmt.Sprintf("%s %03d %s enum", e.FullName(), v.Number(), v.Name()))
			}
		}
	}
	messages = func(list protoreflect.MessageDescriptors) {
		for i := range list.Len() {
			m := list.Get(i)
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				kind := f.Kind().String()
				switch {
				case f.Message() != nil:
					kind = string(f.Message().FullName())
				case f.Enum() != nil:
					kind = string(f.Enum().FullName())
				}
				all = append(all, fmt.Sprintf("%s %03d %s %s %s", m.FullName(), f.Number(), f.Name(), f.Cardinality(), kind))
			}
			enums(m.Enums())
			messages(m.Messages())
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("parley.app", func(f protoreflect.FileDescriptor) bool {
		messages(f.Messages())
		enums(f.Enums())
		return true
	})
	slices.Sort(all)
	return all
}
