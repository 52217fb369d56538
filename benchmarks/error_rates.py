"""How often verdicts err, by simulation: writes what the book's page shows. Seconds of computing."""

from featuremining.judging import error_rates


def main() -> int:
    found = error_rates.write()
    for row in found["errors"]:
        print(f"{row['kind']:12} {row['truth']:20} false: {row['ever']:6.2%} of {row['allowed']:.1%} allowed")
    return any(row["ever"] > error_rates.at_most(row["allowed"], found["worlds"]) for row in found["errors"])


if __name__ == "__main__":
    raise SystemExit(main())
