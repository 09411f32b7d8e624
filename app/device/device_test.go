package device

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

func said(change func(m *apppb.SyncPairInstallation)) *apppb.SyncPairInstallation {
	m := &apppb.SyncPairInstallation{
		Clock: uint64(now.UnixMilli()), InstallationId: "0b8ee39a-0000-4000-8000-000000000001", DeviceType: "desktop", Name: "Ada's laptop",
		Version: 1, TargetInstallationId: "0b8ee39a-0000-4000-8000-000000000002",
	}
	change(m)
	return m
}

// What one device says of itself another reads: its id, its type, its name and
// when it said so.
//
// Proves: AP-175.
func TestAnnouncementBothWays(t *testing.T) {
	t.Parallel()
	a := Announcement{
		ID:       "0b8ee39a-0000-4000-8000-000000000001",
		Metadata: Metadata{Name: "Ada's laptop", Type: Desktop, Clock: uint64(now.UnixMilli())},
		Target:   "0b8ee39a-0000-4000-8000-000000000002",
	}
	raw, err := message.Encode(a.Message())
	if err != nil {
		t.Fatal(err)
	}
	m := new(apppb.SyncPairInstallation)
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(m, now); err != nil || got != a {
		t.Errorf("%+v, %v; want %+v", got, err, a)
	}
	want := said(func(m *apppb.SyncPairInstallation) { m.Version = 0 })
	if !proto.Equal(m, want) {
		t.Errorf("%v, want %v", m, want)
	}
}

// Everything that is checked, on both sides of its limit.
func TestAnnouncementRules(t *testing.T) {
	t.Parallel()
	most := uint64(now.Truncate(time.Second).Add(message.MaxClockAhead).UnixMilli())
	for _, test := range []struct {
		name   string
		change func(m *apppb.SyncPairInstallation)
		want   error
	}{
		{"as it should be", func(*apppb.SyncPairInstallation) {}, nil},
		{"no target", func(m *apppb.SyncPairInstallation) { m.TargetInstallationId = "" }, nil},
		{"another type", func(m *apppb.SyncPairInstallation) { m.DeviceType = "freebsd" }, nil},
		{"no clock", func(m *apppb.SyncPairInstallation) { m.Clock = 0 }, message.ErrClockZero},
		{"clock at the limit", func(m *apppb.SyncPairInstallation) { m.Clock = most }, nil},
		{"clock past the limit", func(m *apppb.SyncPairInstallation) { m.Clock = most + 1 }, message.ErrClockAhead},
		{"no name", func(m *apppb.SyncPairInstallation) { m.Name = "" }, ErrName},
		{"blank name", func(m *apppb.SyncPairInstallation) { m.Name = " \t" }, ErrName},
		{"name of two lines", func(m *apppb.SyncPairInstallation) { m.Name = "a\nb" }, ErrName},
		{"name at the limit", func(m *apppb.SyncPairInstallation) { m.Name = strings.Repeat("ü", MaxName) }, nil},
		{"name past the limit", func(m *apppb.SyncPairInstallation) { m.Name = strings.Repeat("ü", MaxName+1) }, ErrName},
		{"no type", func(m *apppb.SyncPairInstallation) { m.DeviceType = " " }, ErrType},
		{"type at the limit", func(m *apppb.SyncPairInstallation) { m.DeviceType = strings.Repeat("x", MaxType) }, nil},
		{"type past the limit", func(m *apppb.SyncPairInstallation) { m.DeviceType = strings.Repeat("x", MaxType+1) }, ErrType},
		{"no id", func(m *apppb.SyncPairInstallation) { m.InstallationId = "" }, ErrID},
		{"blank id", func(m *apppb.SyncPairInstallation) { m.InstallationId = "  " }, ErrID},
		{"id at the limit", func(m *apppb.SyncPairInstallation) { m.InstallationId = strings.Repeat("x", MaxID) }, nil},
		{"id past the limit", func(m *apppb.SyncPairInstallation) { m.InstallationId = strings.Repeat("x", MaxID+1) }, ErrID},
		{"target at the limit", func(m *apppb.SyncPairInstallation) { m.TargetInstallationId = strings.Repeat("x", MaxID) }, nil},
		{"target past the limit", func(m *apppb.SyncPairInstallation) { m.TargetInstallationId = strings.Repeat("x", MaxID+1) }, ErrID},
	} {
		got, err := Read(said(test.change), now)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err != nil && got != (Announcement{}) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// The newest word counts, and of two of the same clock the first.
func TestMetadataReceive(t *testing.T) {
	t.Parallel()
	m := Metadata{}.Receive(Metadata{"one", Desktop, 5})
	for _, next := range []Metadata{{"older", IOS, 4}, {"as old", IOS, 5}} {
		if got := m.Receive(next); got != m {
			t.Errorf("%+v", got)
		}
	}
	if got := m.Receive(Metadata{"newer", IOS, 6}); got.Name != "newer" || got.Type != IOS {
		t.Errorf("%+v", got)
	}
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	for goos, want := range map[string]string{"ios": IOS, "android": Android, "linux": Desktop, "windows": Desktop, "": Desktop} {
		if got := TypeOf(goos); got != want {
			t.Errorf("%s is %s", goos, got)
		}
	}
}

// A device is found by its id, the beginning of it, and its name.
func TestFind(t *testing.T) {
	t.Parallel()
	all := []Device{{ID: "aaaa-1", Name: "Laptop"}, {ID: "aaaa-2", Name: "Phone"}, {ID: "bbbb-3", Name: "phone"}, {ID: "cccc-4"}, {ID: "dddd-5", Name: "cccc"}}
	for who, want := range map[string]string{
		"aaaa-1": "aaaa-1", "bbbb": "bbbb-3", "BBBB": "bbbb-3", "laptop": "aaaa-1", " Laptop ": "aaaa-1", "cccc-4": "cccc-4", "cccc": "dddd-5",
	} {
		if got, err := Find(all, who); err != nil || got.ID != want {
			t.Errorf("%q: %+v, %v", who, got, err)
		}
	}
	for who, want := range map[string]error{
		"phone": ErrAmbiguous, "aaaa": ErrAmbiguous, "bbb": ErrUnknown, "": ErrUnknown, "aaaa-1-and-more": ErrUnknown, "nobody": ErrUnknown,
	} {
		if _, err := Find(all, who); !errors.Is(err, want) {
			t.Errorf("%q: %v", who, err)
		}
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	all := []Device{
		{ID: "d", Seen: now}, {ID: "c", Paired: true, Seen: now}, {ID: "b", Paired: true, Seen: now.Add(1)}, {ID: "e"}, {ID: "a", This: true}, {ID: "f"},
	}
	Sort(all)
	var ids []string
	for _, d := range all {
		ids = append(ids, d.ID)
	}
	if got := strings.Join(ids, ""); got != "abcdef" {
		t.Error(got)
	}
	if !slices.ContainsFunc(all[:1], func(d Device) bool { return d.This }) {
		t.Error("this device is not the first")
	}
}

// What a device says of itself never panics and never breaks the rules.
func FuzzRead(f *testing.F) {
	for _, m := range []*apppb.SyncPairInstallation{{}, said(func(*apppb.SyncPairInstallation) {})} {
		raw, _ := proto.Marshal(m)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(apppb.SyncPairInstallation)
		if proto.Unmarshal(raw, m) != nil {
			return
		}
		a, err := Read(m, now)
		if err != nil {
			return
		}
		again, err := Read(a.Message(), now)
		if err != nil || again != a {
			t.Fatalf("%+v, %v; was %+v", again, err, a)
		}
	})
}
