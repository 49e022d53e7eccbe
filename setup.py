"The package's metadata, handed from settings.ini to setuptools"
import ast
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(interpolation=None, delimiters="=")
ini.read(here/"settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]

def lines(key): return [o.strip() for o in cfg[key].splitlines() if o.strip()]

def value(s):
    "`s`, or for `attr: pkg.name` the literal assigned to `name` in pkg/__init__.py, read without importing it"
    if not s.startswith("attr:"): return s
    pkg,name = s.removeprefix("attr:").strip().rsplit(".", 1)
    body = ast.parse((here/pkg/"__init__.py").read_text(encoding="utf-8")).body
    return next(ast.literal_eval(o.value) for o in body if isinstance(o, ast.Assign) and o.targets[0].id==name)

extras = {k.removesuffix("_requirements"):lines(k) for k in cfg if k.endswith("_requirements")}
extras["dev"] = sorted({o for os in extras.values() for o in os})

setup(version=value(cfg["version"]), description=cfg["description"], author=cfg["author"], keywords=cfg["keywords"].split(),
    license_expression=cfg["license"], classifiers=lines("classifiers"), python_requires=f">={cfg['min_python']}",
    long_description=(here/"README.md").read_text(encoding="utf-8"), long_description_content_type="text/markdown",
    install_requires=lines("requirements"), extras_require=extras, packages=find_packages(include=["soccerkd*"]),
    entry_points={k:lines(k) for k in ("console_scripts", "nbdev")})
