import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.corpus.real_artists import JOINED, REAL_TRACKS
from twinlib.corpus.artists import agreed_prefix, artist_key, credited_names, find_families, folder_prefix
from twinlib.corpus.near_names import _misspelt, describe_near_names, find_near_names


def tracks_of(*credits: str) -> list[tuple[str, str]]:
    return [(f"folder/{number}", credit) for number, credit in enumerate(credits)]


def one_family(*credits: str, among: tuple[str, ...] = (), **aliases: list[str]) -> bool:
    made = find_families(tracks_of(*credits, *among), aliases)
    return len({made.by_credit[credit] for credit in credits}) == 1


def test_the_artists_of_real_metadata_are_joined_as_they_should_be() -> None:
    made = find_families(REAL_TRACKS)
    assert made.joined == JOINED
    assert set(made.by_credit) == {credit for _, credit in REAL_TRACKS}


def test_real_credits_that_were_not_joined_are_listed_once() -> None:
    near = find_near_names(REAL_TRACKS, find_families(REAL_TRACKS))
    assert [(one.names, one.reason) for one in near] == [
        (("Caitlin Michelle Remmel & Benjamin Hood", "Cameron-Mitchell Ware & Sergi Casanelles"), "folder")
    ]
    aliases = {"Brandon Webster": list(near[0].names)}
    made = find_families(REAL_TRACKS, aliases)
    assert made.joined == {"Brandon Webster": list(near[0].names), **JOINED}
    assert find_near_names(REAL_TRACKS, made) == []
    assert made.naming("brandon webster") == set(near[0].names)


@pytest.mark.parametrize(
    "credits",
    [
        ("Hops 'n Vinyl", "Hops ’n Vinyl", "HOPS N’ VINYL", "Hops ´n Vinyl"),
        ("Jay-Z", "Jay‐Z", "Jay–Z", "jay z", "JayZ", " Jay  Z "),
        ("Beyoncé", "Beyonce", "Beyonce\u0301", "BEYONCÉ"),
        ("AC/DC", "Ac Dc", "ＡＣ／ＤＣ"),
        ("M.I.A.", "MIA"),
        ("Simon & Garfunkel", "Simon and Garfunkel", "Simon + Garfunkel"),
        ("Weiß", "WEISS"),
        ("Music Delta", "MusicDelta"),
        ("!!!", " !!!"),
    ],
)
def test_one_name_in_several_typographies_is_one_artist(credits: tuple[str, ...]) -> None:
    assert one_family(*credits)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Anna", "Hanna"),
        ("Simon", "Paul Simon"),
        ("!!!", "???"),
        ("किरण", "करण"),
        ("か", "が"),
        ("Blink 182", "Blink 183"),
        ("Beatles", "The Beatles"),
        ("Anna feat. Bert", "Anna"),
    ],
)
def test_other_names_are_other_artists(first: str, second: str) -> None:
    assert one_family(first, second) == (first == "Anna feat. Bert")


@pytest.mark.parametrize(
    "joint",
    [
        "Anna & Bert",
        "Bert, Anna",
        "Zoe feat. Anna",
        "Zoe ft. Anna",
        "Zoe (featuring Anna)",
        "Anna with Zoe",
        "Zoe, Bert & Anna",
        "Anna / Zoe",
        "Zoe vs. Anna",
        "Anna x Zoe",
        "Zoe; Anna",
        "Anna und Zoe",
        "Zoë, Yves, Xaver, Willi, Viktor, Udo, Tim, Siri, Rita, Quentin, Paul, Otto, Nora & Anna",
    ],
)
def test_a_joint_credit_belongs_to_each_of_its_artists(joint: str) -> None:
    assert one_family(joint, "Anna")
    assert not one_family(joint, "Carl")


def test_artists_with_common_tracks_are_one_family() -> None:
    assert one_family("Anna", "Carl", among=("Anna & Bert", "Bert", "Bert & Carl"))
    assert one_family("Anna", "Simon & Garfunkel", among=("Anna with Simon & Garfunkel",))


def test_the_name_of_a_band_is_not_divided() -> None:
    bands = (
        "Simon & Garfunkel",
        "Earth, Wind & Fire",
        "Florence and the Machine",
        "Clara Berry and Wooldog",
        "Malcolm X",
    )
    assert find_families(tracks_of(*bands)).joined == {}
    assert not one_family("Tom & Friends", "Anna & Friends")
    assert one_family("Simon & Garfunkel", "Garfunkel")


def test_a_full_name_in_two_joint_credits_joins_them() -> None:
    assert one_family("Liz Nelson & Jennifer Davies", "Jennifer Davies and Ben Hood")
    assert not one_family("Sia & The Band", "Bob & The Band")


@pytest.mark.parametrize(
    ("track_id", "credit", "agrees"),
    [
        ("MusicDelta_Rock", "Music Delta", True),
        ("MusicDelta_Rock", "Music Delta Multitracks", True),
        ("LizNelson_Rainfall", "Jennifer Davies & Liz Nelson", True),
        ("TheBeatles_Help", "Beatles", True),
        ("Mozart_DiesBildnis", "NYU", False),
        ("Muse_Song", "Museum Ghosts", False),
        ("The_Song", "The Beatles", False),
        ("A_Song", "A Ha", False),
        ("AHa_Song", "A-ha", True),
        ("Sub-d_Song", "Sub-d", True),
        ("Music Delta/one_two", "Music Delta", False),
        ("take_1", "take_1", False),
        ("nothing", "nothing", False),
    ],
)
def test_a_folder_prefix_counts_where_the_credit_agrees(track_id: str, credit: str, agrees: bool) -> None:
    expected = {artist_key(folder_prefix(track_id))} if agrees else set()
    assert agreed_prefix(track_id, credit) == expected


def test_files_in_the_root_of_a_folder_of_music_are_artists_of_their_own() -> None:
    tracks = [(f"take_{number}", f"take_{number}") for number in range(5)]
    made = find_families(tracks)
    assert made.joined == {}
    assert find_near_names(tracks, made) == []


def test_an_alias_joins_names_and_names_the_family() -> None:
    assert not one_family("Prince", "The Artist", "TAFKAP")
    assert one_family("Prince", "The Artist", "TAFKAP", aliases=["Prince", "the artist", "Tafkap"])
    made = find_families(tracks_of("The Artist", "TAFKAP", "The Artist & Sheila"), {"Prince": ["The Artist", "TAFKAP"]})
    assert set(made.by_credit.values()) == {"Prince"}
    assert made.naming("PRINCE") == {"The Artist", "TAFKAP", "The Artist & Sheila"}
    assert made.naming("nobody") == set()


def test_of_several_similar_credits_the_first_is_listed() -> None:
    """Sets of strings have another order in every run."""
    others = [f"Music Delta {word}" for word in ("Acoustic", "Brass", "Country", "Disco", "Electro", "Folk")]
    tracks = tracks_of("Music Delta", *others)
    near = find_near_names(tracks, find_families(tracks, {others[0]: others[1:]}))
    assert [one.names for one in near] == [("Music Delta", "Music Delta Acoustic")]


def test_a_long_name_has_few_variants() -> None:
    assert len(_misspelt("name" * 50)) <= 201


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("Metallica", "Metalica", "spelling"),
        ("Metallica", "Mettalica", "spelling"),
        ("Police Hearing Department", "Police Haering Departement", "spelling"),
        ("Beatles", "The Beatles", "words"),
        ("Music Delta", "Music Delta Multitracks", "words"),
        ("Delta Music", "Music Delta", "words"),
        ("Tom & Friends", "Anna & Friends", "name"),
        ("Player A", "Player B", None),
        ("artist 1", "artist 2", None),
        ("Blink 182", "Blink 183", None),
        ("Anna", "Hanna", None),
        ("The Band", "A Band", None),
        ("Sweat", "Sweet Lights", None),
    ],
)
def test_similar_names(first: str, second: str, reason: str | None) -> None:
    tracks = tracks_of(first, second, "Somebody Else")
    near = find_near_names(tracks, find_families(tracks))
    assert [(set(one.names), one.reason) for one in near] == ([({first, second}, reason)] if reason else [])
    for line in describe_near_names([{"names": one.names, "reason": one.reason} for one in near]):
        assert first in line
        assert second in line


words = st.sampled_from(["Anna", "Bert", "Carl", "Delta", "the", "and", "&", ",", "feat.", "x", "Ä'b-c", "1", "!"])
credits = st.lists(words, min_size=1, max_size=5).map(" ".join)
ids = st.sampled_from(["AnnaBert_1", "Anna_2", "Delta_3", "x/y", "z"])


@given(
    st.lists(st.tuples(ids, credits), min_size=1, max_size=12), st.dictionaries(credits, st.lists(credits), max_size=2)
)
@example([("AnnaBert_1", "Anna and Carl"), ("AnnaBert_1", "Anna and Bert")], {"Anna": []})
@settings(deadline=None, max_examples=60)
def test_families_divide_the_credits_whatever_the_order_of_the_tracks(
    tracks: list[tuple[str, str]], aliases: dict[str, list[str]]
) -> None:
    made = find_families(tracks, aliases)
    shuffled = random.Random(len(tracks)).sample(tracks * 2, 2 * len(tracks))
    assert find_families(shuffled, dict(reversed(aliases.items()))) == made
    assert set(made.by_credit) == {credit for _, credit in tracks}
    for credit, family in made.by_credit.items():
        assert credit in made.naming(credit)
        for other in made.naming(credit):
            assert made.by_credit[other] == family, "all credits that name an artist are one family"
        for other in made.by_credit:
            assert artist_key(other) != artist_key(credit) or made.by_credit[other] == family
    for name, others in aliases.items():
        assert len({made.by_credit[credit] for one in (name, *others) for credit in made.naming(one)}) <= 1
    for near in find_near_names(tracks, made):
        assert len({made.by_credit[name] for name in near.names}) == 2


@given(st.text(max_size=20))
@settings(deadline=None, max_examples=60)
def test_a_key_depends_on_letters_and_digits_alone(name: str) -> None:
    key = artist_key(name)
    assert artist_key(key) == key
    assert artist_key(f"  {name.upper().lower()} ") == artist_key(name.upper())
    assert all(one in key for one in credited_names(name)) or not key
