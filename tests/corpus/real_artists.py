"""Artists of real MedleyDB metadata (v1, v2 and extra tracks): track_id and credit as its files have them."""

_CREDITS = {
    "AClassicEducation": {"A Classic Education": 1},
    "AimeeNorwich": {"Aimee Norwich": 2},
    "AlexanderRoss": {"Alexander Ross": 2},
    "AvaLuna": {"Ava Luna": 1},
    "BigTroubles": {"Big Troubles": 1},
    "BrandonWebster": {
        "Caitlin Michelle Remmel & Benjamin Hood": 1,
        "Cameron-Mitchell Ware & Sergi Casanelles": 1,
    },
    "CelestialShore": {"Celestial Shore": 1},
    "ClaraBerryAndWooldog": {"Clara Berry and Wooldog": 5},
    "CroqueMadame": {"Croque Madame": 2},
    "Debussy": {"NYU": 1},
    "DeclareAString": {"Declare A String": 1, "Declare a String": 1},
    "DreamersOfTheGhetto": {"Dreamers of the Ghetto": 1},
    "EthanHein": {"Ethan Hein": 4},
    "FallingSparks": {"Falling Sparks": 4},
    "FennelCartwright": {"Fennel Cartwright": 3},
    "HopsNVinyl": {"Hops 'n Vinyl": 1, "Hops ’n Vinyl": 3},
    "JoelHelander": {"Joel Helander": 3},
    "KtTunstall": {"KT Tunstall": 2},
    "LadyGaga": {"Lady Gaga": 2},
    "LadyGagaFeaturingBeyonce": {"Lady Gaga featuring Beyonce": 1},
    "LewisAndClarke": {"Lewis And Clarke": 1},
    "LizNelson": {"Liz Nelson": 1, "Liz Nelson & Jennifer Davies": 2},
    "MatthewEntwistle": {"Matthew Entwistle": 8},
    "McFrontalot": {"MC Frontalot": 1},
    "MidnightBlue": {"Midnight Blue": 2},
    "Mozart": {"NYU": 2},
    "MusicDelta": {"Music Delta": 19, "Music Delta Multitracks": 16},
    "Phoenix": {"Phoenix": 6},
    "PoliceHearingDepartment": {"Police Hearing Department": 6},
    "SasquatchConnection": {"Sasquatch Connection": 5},
    "Schubert": {"NYU": 1},
    "SlowGhost": {"Slow Ghost": 4},
    "Sweat": {"SWEAT": 5, "Sweat": 1},
    "SweetLights": {"Sweet Lights": 1},
    "TPain": {"T-Pain": 1},
    "TablaBreakbeatScience": {"Tabla Breakbeat Science": 9},
    "TheBeatles": {"The Beatles": 9},
    "TheDistricts": {"The Districts": 1},
    "TheScarletBrand": {"The Scarlet Brand": 1},
    "TomPetty": {"Tom Petty": 1},
    "TomPettyAndTheHeartbreakers": {"Tom Petty and The Heartbreakers": 1},
    "TrevorAndTheSoundwaves": {"Trevor and the Soundwaves": 1},
    "Wolf": {"NYU": 1},
}

REAL_TRACKS = [
    (f"{prefix}_Song{number}", credit)
    for prefix, credits in _CREDITS.items()
    for place, (credit, count) in enumerate(credits.items())
    for number in range(100 * place, 100 * place + count)
]

JOINED = {
    "Declare A String": ["Declare A String", "Declare a String"],
    "Hops 'n Vinyl": ["Hops 'n Vinyl", "Hops ’n Vinyl"],
    "Lady Gaga": ["Lady Gaga", "Lady Gaga featuring Beyonce"],
    "Liz Nelson": ["Liz Nelson", "Liz Nelson & Jennifer Davies"],
    "Music Delta": ["Music Delta", "Music Delta Multitracks"],
    "SWEAT": ["SWEAT", "Sweat"],
    "Tom Petty": ["Tom Petty", "Tom Petty and The Heartbreakers"],
}
"""The families with several credits."""
