"What a notebook needs: `from soccerkd.all import *`, fastai included"
from fastai.vision.all import *

from soccerkd.core import *
from soccerkd.video.sampling import *
from soccerkd.video.reader import *
from soccerkd.video.scan import *
from soccerkd.data.world import *
from soccerkd.data.nothing import *
from soccerkd.data.splits import *
from soccerkd.data.transforms import *
from soccerkd.data.feed import *
from soccerkd.data.clips import *
from soccerkd.data.cache import *
from soccerkd.data.soccerdb1 import *
from soccerkd.models.clipnet import *
from soccerkd.models.tam import *
from soccerkd.models.image import *
from soccerkd.models.jointnet import *
from soccerkd.models.weights import *
from soccerkd.models.video import *
from soccerkd.models.teachers import *
from soccerkd.models.zoo import *
from soccerkd.models.fast import *
from soccerkd.distill.losses import *
from soccerkd.distill.callback import *
from soccerkd.distill.more_losses import *
from soccerkd.distill.features import *
from soccerkd.distill.learner import *
from soccerkd.distill.faithful import *
from soccerkd.distill.mixing import *
from soccerkd.distill.bank import *
from soccerkd.distill.feature_bank import *
from soccerkd.distill.runs import *
from soccerkd.distill.machines import *
from soccerkd.distill.ray_bank import *
from soccerkd.evaluate.metrics import *
from soccerkd.evaluate.efficiency import *
from soccerkd.evaluate.figures import *
from soccerkd.evaluate.calibration import *
from soccerkd.evaluate.report import *
from soccerkd.evaluate.views import *
from soccerkd.evaluate.recipe import *
from soccerkd.evaluate.html import *
from soccerkd.deploy.compare import *
from soccerkd.deploy.published import *
<<<<<<< HEAD
from soccerkd.deploy.events import *
from soccerkd.deploy.timeline import *
from soccerkd.deploy.windows import clip_recipe, roi_box
from soccerkd.deploy.stream import *
from soccerkd.deploy.predict import *
=======
from soccerkd.deploy.export import *
from soccerkd.deploy.onnx_clips import *
>>>>>>> export
